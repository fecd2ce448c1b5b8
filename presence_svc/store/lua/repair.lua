-- EVALSHA repair: updates `where`, which people are counted from, to match the courses' sets (S14).
--
-- KEYS  where; then per pair the viewers of its course
-- ARGV  per pair: V, C
-- reply how many pairs were wrong
--
-- Two things can make them differ: a course's sets expired before a sweep recorded the ends of their leases, and
-- replicas without PEOPLE (older, or configured so) recorded joins. Idempotent; no other pairs are touched.
--@include shared/time
--@include shared/course
--@include shared/history

local now, wrong = clock(), 0
set_up_history('0', 'off', '1', KEYS[1])
for i = 2, #KEYS do
  local viewer, course = ARGV[2 * i - 3], ARGV[2 * i - 2]
  local c = { viewers = KEYS[i] }
  local ends = tonumber(redis.call('ZSCORE', KEYS[i], viewer) or false)
  local courses = redis.call('HGET', KEYS[1], viewer) or ''
  local is_there = string.find(' ' .. courses .. ' ', ' ' .. course .. ' ', 1, true)
  if is_there and not ends then
    remove_course(c, viewer)
    wrong = wrong + 1
  elseif ends and ends > now and not is_there then
    add_course(c, viewer)
    wrong = wrong + 1
  end
end
return wrong
