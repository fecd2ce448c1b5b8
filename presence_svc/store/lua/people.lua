-- EVALSHA people: how many distinct viewers are in any course now (S14). Writes nothing.
--
-- KEYS  agenda where; then the viewers of courses that are due soon
-- ARGV  for how long a course may be claimed ms, at most how many viewers with ended leases to check; then those courses
-- reply now, people, 1 if that is exact; 0 if there were more courses or more ended leases to check
--
-- `where` has everybody who has joined and whose end is not recorded yet. Viewers whose leases have ended in all of
-- their courses are subtracted. A course with ended leases is due, or claimed by its sweeper (due.lua): few are.
--@include shared/time
--@include shared/course

local now, budget = clock(), tonumber(ARGV[2])
local viewers_of, is_exact = {}, 1
for i = 3, #KEYS do viewers_of[ARGV[i]] = KEYS[i] end
local soon = int(now + tonumber(ARGV[1]))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', soon, 'LIMIT', 0, #KEYS - 1)
local lapsed, names = {}, {}
for _, course in ipairs(due) do
  local found = {}
  if viewers_of[course] then
    found = redis.call('ZRANGEBYSCORE', viewers_of[course], '-inf', int(now), 'LIMIT', 0, budget)
  else
    is_exact = 0
  end
  budget = budget - #found
  for _, viewer in ipairs(found) do
    if not lapsed[viewer] then names[#names + 1] = viewer end
    lapsed[viewer] = (lapsed[viewer] or 0) + 1
  end
  if budget <= 0 then
    is_exact = 0
    break
  end
end
local people = redis.call('HLEN', KEYS[2])
for start = 1, #names, 1000 do
  local part = { unpack(names, start, math.min(start + 999, #names)) }
  for i, courses in ipairs(redis.call('HMGET', KEYS[2], unpack(part))) do
    if courses then
      local _, blanks = string.gsub(courses, ' ', ' ')
      if lapsed[part[i]] > blanks then people = people - 1 end
    end
  end
end
return { now, people, is_exact }
