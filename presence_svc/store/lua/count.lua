-- EVALSHA count: exact counts of many courses at one moment (S1, S2, S4, S7). Writes nothing.
--
-- KEYS  per course: viewers places chapters anonymous state
-- ARGV  how many courses
-- reply now; then per course, until the budget of this call is used up: total, anonymous, version, how many chapters,
--       and chapter, viewers for each
--@include shared/time
--@include shared/course

local now = clock()
local reply = { now }
for i = 1, tonumber(ARGV[1]) do
  if is_spent() then break end
  local c = course_at(1 + (i - 1) * 5)
  reply[#reply + 1] = count_alive(c.viewers, now)
  reply[#reply + 1] = count_alive(c.anonymous, now)
  reply[#reply + 1] = tonumber(redis.call('HGET', c.state, 'version') or 0)
  local at = #reply + 1
  reply[at] = 0
  spent = spent + 4
  each_chapter(c, function(name, place)
    local n = count_in_place(c, place, now)
    if n > 0 then
      reply[at] = reply[at] + 1
      reply[#reply + 1] = name
      reply[#reply + 1] = n
    end
  end)
end
return reply
