-- EVALSHA people: how many distinct viewers are in any course now (S14). Writes nothing.
--
-- KEYS  agenda where; then the viewers of courses that somebody must look at soon
-- ARGV  for how long a course may be claimed ms, how many lapsed viewers to look at most; then those courses
-- reply now, people, 1 if that is exact; else there were more courses to look at, or more lapsed viewers
--
-- `where` has everybody who has joined and whose end has not been booked. Of these the lapsed are taken off who are
-- in no other course. A course with lapsed viewers is due, or claimed by who sweeps it (due.lua): few are.
--@include shared/time
--@include shared/course

local now, room = clock(), tonumber(ARGV[2])
local viewers_of, is_exact = {}, 1
for i = 3, #KEYS do viewers_of[ARGV[i]] = KEYS[i] end
local soon = int(now + tonumber(ARGV[1]))
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', soon, 'LIMIT', 0, #KEYS - 1)
local lapsed, names = {}, {}
for _, course in ipairs(due) do
  local found = {}
  if viewers_of[course] then
    found = redis.call('ZRANGEBYSCORE', viewers_of[course], '-inf', int(now), 'LIMIT', 0, room)
  else
    is_exact = 0
  end
  room = room - #found
  for _, viewer in ipairs(found) do
    if not lapsed[viewer] then names[#names + 1] = viewer end
    lapsed[viewer] = (lapsed[viewer] or 0) + 1
  end
  if room <= 0 then
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
