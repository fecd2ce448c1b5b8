-- EVALSHA due: the courses that somebody must look at now, claimed for a moment for the caller.
--
-- KEYS  agenda; with history: heard gaps; on a Cluster: nothing (see since.lua)
-- ARGV  how many at most, claim ms, longest lease (or look) ms; with history: how long nobody may have asked without a
--       gap, from when on such a gap has ended leases, how long until viewers have said again that they are there, how
--       long to keep gaps; ms
-- reply now, when the next one is due (0 = none), then the courses
--
-- A claim moves the course on by `claim ms`, so that replicas share the work; when its holder dies, the course
-- is due again (S8: within 2 s). What a claim hides from others is only work, never truth.
--@include shared/time
--@include shared/course

local agenda, now = KEYS[1], clock()
local many = tonumber(ARGV[1])
local due = redis.call('ZRANGEBYSCORE', agenda, '-inf', int(now), 'LIMIT', 0, many)
-- With more than can be claimed, half are the latest: thousands of courses whose minute has just ended do not delay a
-- viewer whose lease ends now (S9), and the oldest still have their half.
if #due == many then
  local half = math.floor(many / 2)
  local latest = redis.call('ZREVRANGEBYSCORE', agenda, int(now), '-inf', 'LIMIT', 0, half)
  for i, course in ipairs(latest) do due[many - half + i] = course end
end
-- What is to be looked at later than any lease can end was put there before Redis's clock was set back.
if #due == 0 then
  local beyond = '(' .. int(now + tonumber(ARGV[3]))
  due = redis.call('ZRANGEBYSCORE', agenda, beyond, '+inf', 'LIMIT', 0, many)
end
pass_memory_check(agenda)
-- Somebody asks at every pass. When nobody did, or could, heartbeats were not heard either: a gap (S13).
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
