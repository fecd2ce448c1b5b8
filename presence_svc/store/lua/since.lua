-- EVALSHA since: keeps the mark that says since when heartbeats have been heard without a gap (S11).
--
-- KEYS  since agenda heard
-- ARGV  how long a gap may be without losing anybody, ms; the last moment of `heard` that the caller knows, 0 = none
-- reply now, since (0 = no heartbeat can be recorded now, and none could be for long), that moment now
--
-- Every replica calls this each sweep. The mark is gone after a restart with empty data, after a gap in which
-- Redis was away or took no writes, and after one in which no replica ran: in all of them leases may have ended
-- unrenewed. A mark that is ahead of the clock is of before the clock was set back. And where `heard` (kept with
-- history) ends earlier than it has ended, Redis has gone back to older data: to a snapshot, or to a replica's.
--@include shared/course

local now = clock()
local since = tonumber(redis.call('GET', KEYS[1]) or false)
-- Changes nothing, but a Redis that is full refuses it as it refuses heartbeats: then the mark is left to end.
local heard = redis.pcall('ZADD', KEYS[2], 'XX', 0, '')
local last = tonumber(redis.call('HGET', KEYS[3], 'last') or false) or 0
if type(heard) == 'table' and heard.err then return { now, since or 0, last } end
if not since or since > now or last < tonumber(ARGV[2]) or redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then
  since = now
  redis.call('SET', KEYS[1], int(now), 'PX', ARGV[1])
end
return { now, since, last }
