-- EVALSHA since: maintains the time since when heartbeats have been recorded without a gap (S11).
--
-- KEYS  since agenda heard; on a Cluster: nothing
-- ARGV  how long a gap may be without losing anybody, ms; the caller's last `pulse`, as this script returned it
-- reply now, since (0 = heartbeats cannot be recorded now, and could not for long), pulse (0 = without history)
--
-- Every replica calls this in each sweep. The mark `since` is gone after a restart without data, after a gap in which
-- Redis was away or refused writes, and after one in which no replica ran: in all of these cases leases may have
-- ended without a chance to renew them. A mark later than now is from before the clock was set back. While a slot is
-- migrated key by key, heartbeats cannot run because one of their keys does not exist yet; the key `nothing` never
-- exists, so that this script cannot run either. `pulse` is the time of the last call by any replica. If it is older
-- than the caller's own, Redis has returned to older data: those of a snapshot, or of a replica that lagged behind.
--@include shared/time
--@include shared/course

local BEHIND = 500 -- ms of tolerance: a replica always lags a little, and clocks are adjusted
local now = clock()
local since = tonumber(redis.call('GET', KEYS[1]) or false)
local pulse = tonumber(redis.call('HGET', KEYS[3], 'pulse') or false) or 0
-- Changes nothing, but a full Redis refuses it as it refuses heartbeats: then the mark is left to expire.
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
