-- EVALSHA due: the courses that are due now, claimed for the caller for a moment.
--
-- KEYS  agenda; with history: heard gaps; on a Cluster: nothing (see since.lua)
-- ARGV  how many at most, claim ms, the latest that a course may be due ms from now; with history, in ms: how long
--       nobody may have asked before that counts as a gap, how long a gap must be to have ended leases, how long until
--       all viewers have sent a heartbeat again after it, how long to keep gaps
-- reply now, when the next course is due (0 = none), then the courses
--
-- A claim postpones the course by `claim ms`, so that replicas share the work; if the claiming replica dies, the course
-- becomes due again (S8: within 2 s). A claim hides only work from other replicas: reads are exact without it.
--@include shared/time
--@include shared/course

local agenda, now = KEYS[1], clock()
local many = tonumber(ARGV[1])
local due = redis.call('ZRANGEBYSCORE', agenda, '-inf', int(now), 'LIMIT', 0, many)
-- If more are due than can be claimed, half of the claims go to the latest, so that thousands of courses whose minute
-- has just ended do not delay the end of a lease now (S9). The other half go to the oldest.
if #due == many then
  local half = math.floor(many / 2)
  local latest = redis.call('ZRANGE', agenda, int(now), '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, half)
  for i, course in ipairs(latest) do due[many - half + i] = course end
end
-- A course that is due later than possible was put there before Redis's clock was set back: it is due now.
if #due == 0 then
  local beyond = '(' .. int(now + tonumber(ARGV[3]))
  due = redis.call('ZRANGEBYSCORE', agenda, beyond, '+inf', 'LIMIT', 0, many)
end
pass_memory_check(agenda)
-- Every replica's sweeper asks at every pass. If none did, heartbeats were not recorded either: a gap (S13).
if #KEYS > 1 then
  local heard, allowed, again = KEYS[2], tonumber(ARGV[4]), 0
  local last = tonumber(redis.call('HGET', heard, 'last') or false)
  if not last then redis.call('HSET', heard, 'first', int(now)) end
  if last and now - last > allowed then
    if now - last > tonumber(ARGV[5]) then again = tonumber(ARGV[6]) end
    redis.call('RPUSH', KEYS[3], int(last) .. ' ' .. int(now + again))
    redis.call('LTRIM', KEYS[3], -1000, -1)
    redis.call('PEXPIRE', KEYS[3], ARGV[7])
  end
  redis.call('HSET', heard, 'last', int(now))
  redis.call('PEXPIRE', heard, ARGV[7])
end
local claims = {}
for _, course in ipairs(due) do
  claims[#claims + 1], claims[#claims + 2] = int(now + tonumber(ARGV[2])), course
end
if #claims > 0 then redis.call('ZADD', agenda, 'XX', unpack(claims)) end
local first = redis.call('ZRANGE', agenda, 0, 0, 'WITHSCORES')
local reply = { now, tonumber(first[2] or 0) }
for i, course in ipairs(due) do reply[i + 2] = course end
return reply
