-- EVALSHA mend: brings what people is counted from in line with the courses' sets (S14).
--
-- KEYS  where; then per pair the viewers of its course
-- ARGV  per pair: V, C
-- reply how many pairs were wrong
--
-- Two things can put them apart: a course's sets have gone by themselves, so that nobody's end was booked, and
-- replicas without PEOPLE (older, or set so) have let viewers join. Idempotent; nobody else's pair is touched.
--@include shared/time
--@include shared/course
--@include shared/history

local now, wrong = clock(), 0
keep_books('0', 'off', '1', KEYS[1])
for i = 2, #KEYS do
  local viewer, course = ARGV[2 * i - 3], ARGV[2 * i - 2]
  local c = { viewers = KEYS[i] }
  local ends = tonumber(redis.call('ZSCORE', KEYS[i], viewer) or false)
  local courses = redis.call('HGET', KEYS[1], viewer) or ''
  local is_there = string.find(' ' .. courses .. ' ', ' ' .. course .. ' ', 1, true)
  if is_there and not ends then
    is_gone_from(c, viewer)
    wrong = wrong + 1
  elseif ends and ends > now and not is_there then
    is_in(c, viewer)
    wrong = wrong + 1
  end
end
return wrong
