-- Records joins and ends for history (S13) and for people (S14). For all scripts that change who is present.
--
-- A minute is a number, floor(ms / its length). While it is open, its events are summed up in `state`, in a field
-- "m<minute>" for the course and "m<minute> <chapter>" for each chapter, as "viewer_ms net peak": `viewer_ms` is to be
-- added to the viewer time of those present at the minute's end, taken as if they had been present throughout; `net`
-- is joins less ends; `peak` is the largest number present after a join. An end on a minute's boundary belongs to the
-- minute before it. minutes.lua closes minutes.
-- A viewer who has joined since the last closed minute is in `places` as "0<day> V" by the time of joining; so is one who
-- stayed into a day whose count has not begun, and has left. All of these are counted among the day's distinct
-- viewers. Places begin at 1, so that these members are never taken for "place V".

local HOUR, QUARTER, MINUTES_A_DAY, BLOCK = 60, 15, 1440, 365
local COURSES_OF_A_VIEWER = 256
local minute_ms, has_uniques, where = 0, false, nil

-- Sets the length of a minute in ms (0 = no history), how uniques are counted ("off" = not), and the key for people if
-- `people` is "1".
local function set_up_history(minute, uniques, people, where_key)
  minute_ms, has_uniques = tonumber(minute), uniques ~= 'off'
  where = people == '1' and where_key or nil
end

local function minute_of(at) return math.floor(at / minute_ms) end

local function record_event(c, chapter, minute, viewer_ms, net, peak)
  local field = 'm' .. int(minute) .. (chapter == '' and '' or ' ' .. chapter)
  local old = redis.call('HGET', c.state, field)
  if old then
    local old_ms, old_net, most = string.match(old, '^(%S+) (%S+) (%S+)$')
    viewer_ms, net, peak = viewer_ms + tonumber(old_ms), net + tonumber(old_net), math.max(peak, tonumber(most))
  end
  redis.call('HSET', c.state, field, int(viewer_ms) .. ' ' .. int(net) .. ' ' .. int(peak))
end

local function peak_of(c, place, now)
  if place == 0 then return count_alive(c.viewers, now) end
  return count_in_place(c, place, now)
end

-- The hash `where` has a field for each viewer: the courses that they are in, separated by blanks. A viewer who is in
-- none has no field, so that people = HLEN less the viewers whose ended leases are not swept yet (people.lua).
local function add_course(c, viewer)
  local course = id_of(c)
  local old = redis.call('HGET', where, viewer)
  spent = spent + #(old or '') / 50 -- a viewer of many courses with long ids: as much as some commands
  if not old then
    redis.call('HSET', where, viewer, course)
  elseif not string.find(' ' .. old .. ' ', ' ' .. course .. ' ', 1, true) then
    local _, blanks = string.gsub(old, ' ', ' ')
    if blanks + 1 < COURSES_OF_A_VIEWER then redis.call('HSET', where, viewer, old .. ' ' .. course) end
  end
  redis.call('PEXPIRE', where, DAY)
end

local function remove_course(c, viewer)
  if not where then return end
  local course = id_of(c)
  local old = redis.call('HGET', where, viewer)
  spent = spent + #(old or '') / 50 -- a viewer of many courses with long ids: as much as some commands
  if old == course then
    redis.call('HDEL', where, viewer)
  elseif old then
    local rest = {}
    for each in string.gmatch(old, '%S+') do
      if each ~= course then rest[#rest + 1] = each end
    end
    redis.call('HSET', where, viewer, table.concat(rest, ' '))
  end
end

-- The same for many viewers at once. Nearly all of them were in this course only.
local function remove_course_of_many(c, viewers)
  if not where or #viewers == 0 then return end
  local course, only = id_of(c), {}
  for i, courses in ipairs(redis.call('HMGET', where, unpack(viewers))) do
    if courses == course then
      only[#only + 1] = viewers[i]
    elseif courses then
      remove_course(c, viewers[i])
    end
  end
  if #only > 0 then redis.call('HDEL', where, unpack(only)) end
end

local function day_of(minute) return math.floor(minute / MINUTES_A_DAY) end

-- The member "0<day> V": V is to be counted among the distinct viewers of this day.
local function uniques_member(day, viewer) return '0' .. int(day) .. ' ' .. viewer end

local function add_unique(c, viewer, at)
  redis.call('ZADD', c.places, 'NX', int(at), uniques_member(day_of(minute_of(at)), viewer))
end

-- The first day whose distinct viewers are not all counted yet; the days before it are closed.
local function first_uncounted_day(c)
  local state = redis.call('HMGET', c.state, 'day', 'closed')
  return math.max(tonumber(state[1] or -1) + 1, state[2] and day_of(tonumber(state[2])) or 0)
end

-- For a viewer who leaves: marks them on each day from `first` on, back to the day on which they joined.
local function add_uniques_of_stay(c, viewer, at, first)
  for day = day_of(minute_of(at)), math.max(first, day_of(minute_of(at)) - 7), -1 do
    local mark = uniques_member(day, viewer)
    if redis.call('ZSCORE', c.places, mark) then return end
    redis.call('ZADD', c.places, int(math.min(at, (day + 1) * MINUTES_A_DAY * minute_ms - 1)), mark)
  end
end

-- A viewer is present from now on. c.is_swap: one viewer replaces another, and at no moment are both present.
local function record_join(c, chapter, viewer, now, place)
  if chapter == '' and where then add_course(c, viewer) end
  if minute_ms == 0 then return end
  local minute = minute_of(now)
  local peak = 0
  if c.is_swap then c.swaps[chapter] = place else peak = peak_of(c, place, now) end
  record_event(c, chapter, minute, minute * minute_ms - now, 1, peak)
  if chapter == '' and has_uniques then add_unique(c, viewer, now) end
end

-- A viewer was present until `at`, which may be in the past, but not in a closed minute.
local function record_end(c, chapter, viewer, at)
  if minute_ms == 0 then return end
  local minute = minute_of(at - 1)
  record_event(c, chapter, minute, at - minute * minute_ms, -1, 0)
  if chapter ~= '' or not has_uniques then return end
  add_uniques_of_stay(c, viewer, at - 1, first_uncounted_day(c))
end
