-- EVALSHA since: keeps the mark that says since when heartbeats have been heard without a gap (S11).
--
-- KEYS  since agenda heard; on a Cluster: nothing
-- ARGV  how long a gap may be without losing anybody, ms; the caller's last pulse, as this has replied it
-- reply now, since (0 = no heartbeat can be recorded now, and none could be for long), pulse (0 = without history)
--
-- Every replica calls this each sweep. The mark is gone after a restart with empty data, after a gap in which
-- Redis was away or took no writes, and after one in which no replica ran: in all of them leases may have ended
-- unrenewed. A mark that is ahead of the clock is of before the clock was set back. While a slot is moved key by key
-- no heartbeat runs there, since one of its keys does not exist; and by `nothing`, which never does, nor does this.
-- Where the last pulse is older than a caller's own, Redis has gone back to older data: a snapshot's, or those of a
-- replica that was behind.
--@include shared/time
--@include shared/course

local BEHIND = 500 -- ms that nobody misses: a replica is always a little behind, and clocks are put right
local now = clock()
local since = tonumber(redis.call('GET', KEYS[1]) or false)
local pulse = tonumber(redis.call('HGET', KEYS[3], 'pulse') or false) or 0
-- Changes nothing, but a Redis that is full refuses it as it refuses heartbeats: then the mark is left to end.
local heard = redis.pcall('ZADD', KEYS[2], 'XX', 0, '')
if type(heard) == 'table' and heard.err then return { now, since or 0, pulse } end
local is_older = pulse < tonumber(ARGV[2]) - BEHIND
if not since or since > now or is_older or redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then
  since = now
  redis.call('SET', KEYS[1], int(now), 'PX', ARGV[1])
end
if not redis.call('HGET', KEYS[3], 'first') then return { now, since, 0 } end
redis.call('HSET', KEYS[3], 'pulse', int(now))
return { now, since, now }
