-- Shared by the scripts that change who is there: what history and people must hear of it (S13, S14).
--
-- A minute is a number, floor(ms / its length). While it is open its events are in `state`, in a field for the
-- course, "m<minute>", and one for each chapter, "m<minute> <chapter>", as "S d peak": to the viewer time of those
-- present at its end, as if they had been there all along, its events add S; it had d joins less ends; and peak is
-- the most that were present after a join. An end on a boundary belongs before it. minutes.lua closes it.
-- Whoever has come since the last closed minute is in `places` as "0<day> V" by when, and so is who stayed into a day
-- of which nothing is counted yet and went: they are counted among that day's distinct viewers. No place begins with 0.

local MINUTES_A_DAY, COURSES_OF_A_VIEWER = 1440, 256
local minute_ms, has_uniques, where = 0, false, nil

-- The length of a minute (0 = no history), "off" or how uniques are counted, and 1 for people with their key.
local function keep_books(minute, uniques, people, where_key)
  minute_ms, has_uniques = tonumber(minute), uniques ~= 'off'
  where = people == '1' and where_key or nil
end

local function minute_of(at) return math.floor(at / minute_ms) end

local function book(c, chapter, minute, area, turn, peak)
  local field = 'm' .. int(minute) .. (chapter == '' and '' or ' ' .. chapter)
  local old = redis.call('HGET', c.state, field)
  if old then
    local s, d, most = string.match(old, '^(%S+) (%S+) (%S+)$')
    area, turn, peak = area + tonumber(s), turn + tonumber(d), math.max(peak, tonumber(most))
  end
  redis.call('HSET', c.state, field, int(area) .. ' ' .. int(turn) .. ' ' .. int(peak))
end

local function peak_of(c, place, now)
  if place == 0 then return alive_in(c.viewers, now) end
  return in_place(c, place, now)
end

-- Which courses a viewer is in, as words; a viewer of none has no field, so that people are counted by HLEN less
-- those who have lapsed unswept (people.lua).
local function is_in(c, viewer)
  local course = id_of(c)
  local old = redis.call('HGET', where, viewer)
  if not old then
    redis.call('HSET', where, viewer, course)
  elseif not string.find(' ' .. old .. ' ', ' ' .. course .. ' ', 1, true) then
    local _, blanks = string.gsub(old, ' ', ' ')
    if blanks + 1 < COURSES_OF_A_VIEWER then redis.call('HSET', where, viewer, old .. ' ' .. course) end
  end
  redis.call('PEXPIRE', where, DAY)
end

local function is_gone_from(c, viewer)
  if not where then return end
  local course = id_of(c)
  local old = redis.call('HGET', where, viewer)
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

-- The same of many at once: nearly all of them were in this course only.
local function are_gone_from(c, viewers)
  if not where or #viewers == 0 then return end
  local course, only = id_of(c), {}
  for i, courses in ipairs(redis.call('HMGET', where, unpack(viewers))) do
    if courses == course then
      only[#only + 1] = viewers[i]
    elseif courses then
      is_gone_from(c, viewers[i])
    end
  end
  if #only > 0 then redis.call('HDEL', where, unpack(only)) end
end

local function day_of(minute) return math.floor(minute / MINUTES_A_DAY) end

-- "0<day> V": V is to be counted among the viewers of this day.
local function mark_of(day, viewer) return '0' .. int(day) .. ' ' .. viewer end

local function has_come(c, viewer, at)
  redis.call('ZADD', c.places, 'NX', int(at), mark_of(day_of(minute_of(at)), viewer))
end

-- The first day of which not all are counted yet who were there: the days before it are closed.
local function uncounted_from(c)
  local state = redis.call('HMGET', c.state, 'day', 'closed')
  return math.max(tonumber(state[1] or -1) + 1, state[2] and day_of(tonumber(state[2])) or 0)
end

-- Whoever went on or after the day `first` was there on all days since that, or since they came.
local function has_stayed(c, viewer, at, first)
  for day = day_of(minute_of(at)), math.max(first, day_of(minute_of(at)) - 7), -1 do
    local mark = mark_of(day, viewer)
    if redis.call('ZSCORE', c.places, mark) then return end
    redis.call('ZADD', c.places, int(math.min(at, (day + 1) * MINUTES_A_DAY * minute_ms - 1)), mark)
  end
end

-- Somebody is present from now on. c.is_swap: one comes for another who goes, and no moment has both.
local function came(c, chapter, viewer, now, place)
  if chapter == '' and where then is_in(c, viewer) end
  if minute_ms == 0 then return end
  local minute = minute_of(now)
  local peak = 0
  if c.is_swap then c.swaps[chapter] = place else peak = peak_of(c, place, now) end
  book(c, chapter, minute, minute * minute_ms - now, 1, peak)
  if chapter == '' and has_uniques then has_come(c, viewer, now) end
end

-- They were until `at`, which may be past, but in no minute that is closed.
local function went(c, chapter, viewer, at)
  if minute_ms == 0 then return end
  local minute = minute_of(at - 1)
  book(c, chapter, minute, at - minute * minute_ms, -1, 0)
  if chapter ~= '' or not has_uniques then return end
  has_stayed(c, viewer, at - 1, uncounted_from(c))
end

-- An open minute is looked at as soon as it is over.
local function look_by(first, now)
  if minute_ms == 0 then return first end
  local over = (minute_of(now) + 1) * minute_ms + 1
  return first == 0 and over or math.min(first, over)
end
