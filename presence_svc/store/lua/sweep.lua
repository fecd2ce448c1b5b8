-- EVALSHA sweep: removes expired leases from one course, publishes a message that is due, closes minutes that are over,
-- and puts the course on the agenda for its next due time (S8, S9, S13).
--
-- KEYS  agenda where viewers places chapters anonymous state; with history: minutes:HOUR quarters:DAY days:BLOCK
--       uniques:DAY numbers, seen closed:QUARTER
-- ARGV  publish interval ms, the budget: how many members of all sets together to remove at most, longest lease ms,
--       minute ms (0 = no history), uniques, people; with history: for how long to keep minutes, quarters, days and
--       uniques, in ms, a minute of the HOUR, DAY and BLOCK in KEYS, and the QUARTER in closed:QUARTER
-- reply how many viewers were removed, when the course is due next (ms; 0 = nobody is left), now, how many minutes
--       were closed, how many of them partial, and the minute whose keys are needed to continue (-1 = none)
--
-- Idempotent: any number of replicas may sweep at once; each expiry is removed and published by one of them.
-- Bounded: removing a million viewers takes many short calls, between which heartbeats run.
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/minutes

local interval, budget = tonumber(ARGV[1]), tonumber(ARGV[2])
set_up_history(ARGV[4], ARGV[5], ARGV[6], KEYS[2])
local agenda, now = KEYS[1], clock()
local c = course_at(3)
local more = false
pass_memory_check(agenda)

-- Records the ends of these leases (members and scores), summed up by minute.
local function record_ends(flat, chapter, base, prefix)
  local viewer_ms_of, net_of, viewers = {}, {}, {}
  local day = has_uniques and minute_ms > 0 and chapter == '' and first_uncounted_day(c)
  for i = 1, #flat, 2 do
    local at = tonumber(flat[i + 1]) - base
    local viewer = string.sub(flat[i], prefix)
    if chapter == '' then viewers[#viewers + 1] = viewer end
    if minute_ms > 0 then
      local minute = minute_of(at - 1)
      viewer_ms_of[minute] = (viewer_ms_of[minute] or 0) + at - minute * minute_ms
      net_of[minute] = (net_of[minute] or 0) - 1
      if day then add_uniques_of_stay(c, viewer, at - 1, day) end
    end
  end
  remove_course_of_many(c, viewers)
  for minute, viewer_ms in pairs(viewer_ms_of) do record_event(c, chapter, minute, viewer_ms, net_of[minute], 0) end
end

-- Removes the lowest scores from `low` (excluded) up to `high`; returns how many. With a `chapter` ("" = the course)
-- their ends are recorded in history.
local function remove(zset, low, high, chapter, place)
  local n = redis.call('ZCOUNT', zset, low, high)
  if n > budget then n, more = budget, true end
  if n == 0 then return 0 end
  budget = budget - n
  local first = low == '-inf' and 0 or redis.call('ZCOUNT', zset, '-inf', string.sub(low, 2))
  if chapter and (minute_ms > 0 or where) then
    local flat = redis.call('ZRANGE', zset, first, first + n - 1, 'WITHSCORES')
    record_ends(flat, chapter, place * W, place == 0 and 1 or #tostring(place) + 2)
  end
  return redis.call('ZREMRANGEBYRANK', zset, first, first + n - 1)
end

-- After Redis's clock was set back, older leases end later than any lease granted now. They are capped at the longest
-- lease, which bounds how long an absent viewer can remain; viewers who are present renew theirs.
local function cap_leases(zset, base, top)
  local ends = int(base + now + tonumber(ARGV[3]))
  local beyond = redis.call('ZRANGEBYSCORE', zset, '(' .. ends, top, 'LIMIT', 0, budget)
  for _, member in ipairs(beyond) do redis.call('ZADD', zset, ends, member) end
  budget = budget - #beyond
  if #beyond > 0 and budget == 0 then more = true end
end

-- The first lease end from `low` up to `high`; nil if there is none.
local function first_end(zset, low, high)
  local found = redis.call('ZRANGEBYSCORE', zset, low, high, 'WITHSCORES', 'LIMIT', 0, 1)
  return tonumber(found[2] or false)
end

-- No lease in another set ends later than its viewer's. The viewers' are capped last: if the budget runs out before
-- that, the next call continues.
local last = redis.call('ZRANGE', c.viewers, -1, -1, 'WITHSCORES')
if last[2] and tonumber(last[2]) > now + tonumber(ARGV[3]) then
  each_chapter(c, function(_, place) cap_leases(c.places, place * W, '(' .. int((place + 1) * W)) end)
  cap_leases(c.anonymous, 0, '+inf')
  cap_leases(c.viewers, 0, '+inf')
end
local viewers_removed = remove(c.viewers, '-inf', int(now), '', 0)
local removed = viewers_removed + remove(c.anonymous, '-inf', int(now))
local next_due = first_end(c.viewers, '-inf', '+inf')
local named_at = first_end(c.anonymous, '-inf', '+inf')
if next_due and named_at and named_at < next_due then next_due = named_at end
-- The chapters with live viewers. There may be hundreds of them, so that each should cost only one command.
local occupied = {}
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
    occupied[#occupied + 1] = { name = name, low = low, high = high }
    if not next_due or ends - base < next_due then next_due = ends - base end
  end
end)
if #occupied > 0 or next_due then extend_expiry(c, now, tonumber(ARGV[3])) end

local due = tonumber(redis.call('HGET', c.state, 'dirty') or 0)
-- If the course was not swept for long, its sets have expired, and the last message still has those who were in them.
local unpublished = not next_due and tonumber(redis.call('HGET', c.state, 'told') or 0) > 0
if removed > 0 or (unpublished and due == 0) then
  due = publish_or_schedule(c, now, interval, agenda)
elseif due > 0 and due <= now then
  publish(c, now, math.max(tonumber(redis.call('HGET', c.state, 'version') or 0) + 1, now))
  due = 0
end
local closed = { n = 0, partial = 0, need = -1 }
if minute_ms > 0 and not more then
  closed = close_minutes(c, occupied, now, {
    minutes = KEYS[8], quarters = KEYS[9], days = KEYS[10], uniques = KEYS[11], numbers = KEYS[12],
    seen = KEYS[13], log = KEYS[14], uniques_mode = ARGV[5],
    minutes_for = ARGV[7], quarters_for = ARGV[8], days_for = ARGV[9], uniques_for = ARGV[10],
    minute = tonumber(ARGV[11]), quarter = tonumber(ARGV[12]), budget = tonumber(ARGV[2]),
  })
  more = closed.more
  if closed.next_due and (not next_due or closed.next_due < next_due) then next_due = closed.next_due end
end
if more or closed.need >= 0 then next_due = now end
if due > 0 and (not next_due or due < next_due) then next_due = due end
if next_due then
  redis.call('ZADD', agenda, int(next_due), id_of(c))
else
  redis.call('ZREM', agenda, id_of(c))
end
return { viewers_removed, next_due or 0, now, closed.n, closed.partial, closed.need }
