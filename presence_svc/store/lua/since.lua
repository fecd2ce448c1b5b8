-- EVALSHA since: keeps the mark that says since when heartbeats have been heard without a gap (S11).
--
-- KEYS  since
-- ARGV  how long a gap may be without losing anybody, ms
-- reply now, since
--
-- Every replica calls this each sweep. The mark is gone after a restart with empty data, after a gap in which
-- Redis was away, and after one in which no replica ran: in all three leases may have ended unrenewed.
--@include _course

local now = clock()
-- A mark that is there is kept without writing it anew: also by a Redis that is full.
if redis.call('PEXPIRE', KEYS[1], ARGV[1]) == 0 then redis.call('SET', KEYS[1], int(now), 'PX', ARGV[1]) end
return { now, tonumber(redis.call('GET', KEYS[1])) }
