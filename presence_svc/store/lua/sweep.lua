-- EVALSHA sweep: removes what has expired from one course, publishes what is due, closes minutes that are over, and
-- says when to look again (S8, S9, S13).
--
-- KEYS  agenda where viewers places chapters anonymous state; with history: minutes:HOUR quarters:DAY days:BLOCK
--       uniques:DAY numbers, seen closed:QUARTER
-- ARGV  publish interval ms, how many members to remove at most, from all sets together, longest lease ms,
--       minute ms (0 = no history), uniques, people; with history: for how long to keep minutes, quarters, days and
--       uniques, in ms, a minute of the HOUR, DAY and BLOCK in KEYS, and the QUARTER in closed:QUARTER
-- reply how many viewers were removed, when to look again (ms; 0 = nobody is left), now, how many minutes were
--       closed, how many of them partial, and the minute whose keys are needed to go on (-1 = these did)
--
-- Idempotent: any number of replicas may sweep at once, each expiry is removed and published by one of them.
-- Bounded: a purge of a million viewers is many short calls, between which heartbeats run.
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/minutes

local interval, room = tonumber(ARGV[1]), tonumber(ARGV[2])
keep_books(ARGV[4], ARGV[5], ARGV[6], KEYS[2])
local agenda, now = KEYS[1], clock()
local c = course_at(3)
local more = false
make_way(agenda)

-- Books these ends, of members and scores, by the minute.
local function all_went(flat, chapter, base, prefix)
  local areas, turns, viewers = {}, {}, {}
  local day = has_uniques and minute_ms > 0 and chapter == '' and uncounted_from(c)
  for i = 1, #flat, 2 do
    local at = tonumber(flat[i + 1]) - base
    local viewer = string.sub(flat[i], prefix)
    if chapter == '' then viewers[#viewers + 1] = viewer end
    if minute_ms > 0 then
      local minute = minute_of(at - 1)
      areas[minute] = (areas[minute] or 0) + at - minute * minute_ms
      turns[minute] = (turns[minute] or 0) - 1
      if day then has_stayed(c, viewer, at - 1, day) end
    end
  end
  are_gone_from(c, viewers)
  for minute, area in pairs(areas) do book(c, chapter, minute, area, turns[minute], 0) end
end

-- Removes the lowest scores from `low` (excluded) up to `high`; returns how many. With a `chapter` ("" = the
-- course) history hears of it.
local function remove(zset, low, high, chapter, place)
  local n = redis.call('ZCOUNT', zset, low, high)
  if n > room then n, more = room, true end
  if n == 0 then return 0 end
  room = room - n
  local first = low == '-inf' and 0 or redis.call('ZCOUNT', zset, '-inf', string.sub(low, 2))
  if chapter and (minute_ms > 0 or where) then
    local flat = redis.call('ZRANGE', zset, first, first + n - 1, 'WITHSCORES')
    all_went(flat, chapter, place * W, place == 0 and 1 or #tostring(place) + 2)
  end
  return redis.call('ZREMRANGEBYRANK', zset, first, first + n - 1)
end

-- Redis's clock was set back: leases of before it reach beyond any that can be given now. They are cut to the longest,
-- which bounds how long a ghost can stay; who is there renews theirs.
local function cut(zset, base, top)
  local ends = int(base + now + tonumber(ARGV[3]))
  local beyond = redis.call('ZRANGEBYSCORE', zset, '(' .. ends, top, 'LIMIT', 0, room)
  for _, member in ipairs(beyond) do redis.call('ZADD', zset, ends, member) end
  room = room - #beyond
  if #beyond > 0 and room == 0 then more = true end
end

-- The next lease end at or after `low`, below `high`; nil when there is none.
local function first_end(zset, low, high)
  local found = redis.call('ZRANGEBYSCORE', zset, low, high, 'WITHSCORES', 'LIMIT', 0, 1)
  return tonumber(found[2] or false)
end

-- No lease in another set ends after the viewer's. The viewers' are cut last: so a call that is full comes again.
local last = redis.call('ZRANGE', c.viewers, -1, -1, 'WITHSCORES')
if last[2] and tonumber(last[2]) > now + tonumber(ARGV[3]) then
  each_chapter(c, function(_, place) cut(c.places, place * W, '(' .. int((place + 1) * W)) end)
  cut(c.anonymous, 0, '+inf')
  cut(c.viewers, 0, '+inf')
end
local gone = remove(c.viewers, '-inf', int(now), '', 0)
local removed = gone + remove(c.anonymous, '-inf', int(now))
local look = first_end(c.viewers, '-inf', '+inf')
local named_at = first_end(c.anonymous, '-inf', '+inf')
if look and named_at and named_at < look then look = named_at end
-- The chapters that somebody is in. With hundreds of them what each costs counts: mostly one command.
local rooms = {}
each_chapter(c, function(name, place)
  local base = place * W
  local low, high = string.format('(%.0f', base), string.format('(%.0f', base + W)
  local ends = first_end(c.places, low, high)
  if ends and ends - base <= now then
    removed = removed + remove(c.places, low, int(base + now), name, place)
    ends = first_end(c.places, low, high)
  end
  if not ends then
    redis.call('HDEL', c.chapters, name)
  else
    rooms[#rooms + 1] = { name = name, low = low, high = high }
    if not look or ends - base < look then look = ends - base end
  end
end)
if #rooms > 0 or look then keep(c, now, tonumber(ARGV[3])) end

local due = tonumber(redis.call('HGET', c.state, 'dirty') or 0)
-- Unswept for long, the sets have expired by themselves: the last message still names those who were in them.
local unsaid = not look and tonumber(redis.call('HGET', c.state, 'told') or 0) > 0
if removed > 0 or (unsaid and due == 0) then
  due = changed(c, now, interval, agenda)
elseif due > 0 and due <= now then
  publish(c, now, math.max(tonumber(redis.call('HGET', c.state, 'version') or 0) + 1, now))
  due = 0
end
local closed = { n = 0, partial = 0, need = -1 }
if minute_ms > 0 and not more then
  closed = close_minutes(c, rooms, now, {
    minutes = KEYS[8], quarters = KEYS[9], days = KEYS[10], uniques = KEYS[11], numbers = KEYS[12],
    seen = KEYS[13], log = KEYS[14], way = ARGV[5],
    minutes_for = ARGV[7], quarters_for = ARGV[8], days_for = ARGV[9], uniques_for = ARGV[10],
    minute = tonumber(ARGV[11]), quarter = tonumber(ARGV[12]), room = tonumber(ARGV[2]),
  })
  more = closed.more
  if closed.look and (not look or closed.look < look) then look = closed.look end
end
if more or closed.need >= 0 then look = now end
if due > 0 and (not look or due < look) then look = due end
if look then
  redis.call('ZADD', agenda, int(look), id_of(c))
else
  redis.call('ZREM', agenda, id_of(c))
end
return { gone, look or 0, now, closed.n, closed.partial, closed.need }
