-- EVALSHA due: the courses that somebody must look at now, claimed for a moment for the caller.
--
-- KEYS  agenda
-- ARGV  how many at most, claim ms, longest lease ms
-- reply now, when the next one is due (0 = none), then the courses
--
-- A claim moves the course on by `claim ms`, so that replicas share the work; when its holder dies, the course
-- is due again (S8: within 2 s). What a claim hides from others is only work, never truth.
--@include _course

local agenda, now = KEYS[1], clock()
local due = redis.call('ZRANGEBYSCORE', agenda, '-inf', int(now), 'LIMIT', 0, tonumber(ARGV[1]))
-- What is to be looked at later than any lease can end was put there before Redis's clock was set back.
if #due == 0 then
  local beyond = '(' .. int(now + tonumber(ARGV[3]))
  due = redis.call('ZRANGEBYSCORE', agenda, beyond, '+inf', 'LIMIT', 0, tonumber(ARGV[1]))
end
make_way(agenda)
local claims = {}
for _, course in ipairs(due) do
  claims[#claims + 1], claims[#claims + 2] = int(now + tonumber(ARGV[2])), course
end
if #claims > 0 then redis.call('ZADD', agenda, 'XX', unpack(claims)) end
local first = redis.call('ZRANGE', agenda, 0, 0, 'WITHSCORES')
local reply = { now, tonumber(first[2] or 0) }
for i, course in ipairs(due) do reply[i + 2] = course end
return reply
