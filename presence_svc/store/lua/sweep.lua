-- EVALSHA sweep: removes expired leases from one course, publishes a message that is due, closes minutes that are over,
-- and puts the course on the agenda for its next due time (S8, S9, S13).
--
-- KEYS  agenda where viewers places chapters anonymous state; with history: minutes:HOUR quarters:DAY days:BLOCK
--       uniques:DAY numbers, seen closed:QUARTER
-- ARGV  publish interval ms, the budget: how many members of all sets together to remove at most, longest lease ms,
--       minute ms (0 = no history), uniques, people; with history: for how long to keep minutes, quarters, days and
--       uniques, in ms, after the quarter in which they are written first, a minute of the HOUR, DAY and BLOCK in KEYS, and the QUARTER in closed:QUARTER
-- reply how many viewers were removed, when the course is due next (ms; 0 = nobody is left), now, how many minutes
--       were closed, how many of them partial, and the minute whose keys are needed to continue (-1 = none)
--
-- Idempotent: any number of replicas may sweep at once; each expiry is removed and published by one of them.
-- Bounded: removing a million viewers takes many short calls, between which heartbeats run.
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/uniques
--@include shared/tiers
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

-- The first lease end in the set of all viewers or of the anonymous ones; nil if it is empty.
local function first_end(zset) return tonumber(redis.call('ZRANGE', zset, '0', '0', 'WITHSCORES')[2] or false) end

-- Removes the ended leases of such a set. Returns how many, and the first end of those that remain.
local function remove_ended(zset, chapter)
  local first, n = first_end(zset), 0
  if first and first <= now then
    n = remove(zset, '-inf', int(now), chapter, 0)
    first = first_end(zset)
  end
  return n, first
end

-- The first lease end in each place, and how many members each has, if reading all members is cheaper than one look at
-- each place: courses with hundreds of chapters have few viewers in most of them.
local LOOKS, MEMBERS_PER_LOOK = 16, 4
local function read_places(many)
  if many < LOOKS or redis.call('ZCARD', c.places) > MEMBERS_PER_LOOK * many then return nil end
  local first_of, n_of = {}, {}
  local flat = redis.call('ZRANGEBYSCORE', c.places, int(W), '+inf', 'WITHSCORES')
  for i = 2, #flat, 2 do
    local score = tonumber(flat[i])
    local place = math.floor(score / W)
    first_of[place] = first_of[place] or score - place * W
    n_of[place] = (n_of[place] or 0) + 1
  end
  return { first_of = first_of, n_of = n_of }
end

local function first_end_in(low, high)
  local found = redis.call('ZRANGEBYSCORE', c.places, low, high, 'WITHSCORES', 'LIMIT', '0', '1')
  return tonumber(found[2] or false)
end

-- Removes the ended leases of all chapters. Returns how many, the first end of those that remain, and the chapters with
-- live viewers: their names, and how many viewers each has, or the range of scores in which to count them. There may be
-- hundreds of chapters, so that each should cost at most one command.
local function remove_from_chapters()
  local flat = redis.call('HGETALL', c.chapters)
  local places, n, first, occupied = read_places(#flat / 2), 0, nil, {}
  for i = 1, #flat, 2 do
    local name, place = flat[i], tonumber(flat[i + 1])
    local base = place * W
    local low, high, ends, viewers
    if places then
      ends, viewers = places.first_of[place], places.n_of[place]
    else
      low, high = '(' .. int(base), '(' .. int(base + W)
      ends = first_end_in(low, high)
      ends = ends and ends - base
    end
    if ends and ends <= now then
      low, high, viewers = '(' .. int(base), '(' .. int(base + W), nil
      n = n + remove(c.places, low, int(base + now), name, place)
      ends = first_end_in(low, high)
      ends = ends and ends - base
    end
    if not ends then
      redis.call('HDEL', c.chapters, name)
    else
      occupied[#occupied + 1] = { name = name, viewers = viewers, low = low, high = high }
      if not first or ends < first then first = ends end
    end
  end
  return n, first, occupied
end

-- No lease in another set ends later than its viewer's. The viewers' are capped last: if the budget runs out before
-- that, the next call continues.
local last = redis.call('ZRANGE', c.viewers, '-1', '-1', 'WITHSCORES')
if last[2] and tonumber(last[2]) > now + tonumber(ARGV[3]) then
  each_chapter(c, function(_, place) cap_leases(c.places, place * W, '(' .. int((place + 1) * W)) end)
  cap_leases(c.anonymous, 0, '+inf')
  cap_leases(c.viewers, 0, '+inf')
end
local viewers_removed, first_viewer = remove_ended(c.viewers, '')
local removed, first_anonymous = remove_ended(c.anonymous)
local chapters_removed, first_in_chapter, occupied = remove_from_chapters()
removed = removed + viewers_removed + chapters_removed
local next_due = first_viewer or first_anonymous or first_in_chapter
if next_due then
  next_due = math.min(next_due, first_anonymous or next_due, first_in_chapter or next_due)
  extend_expiry(c, now, tonumber(ARGV[3]))
end

local state = redis.call('HMGET', c.state, 'dirty', 'told', 'closed', 'quarter')
local due = tonumber(state[1] or 0)
-- If the course was not swept for long, its sets have expired, and the last message still has those who were in them.
local unpublished = not next_due and tonumber(state[2] or 0) > 0
if removed > 0 or (unpublished and due == 0) then
  due = publish_or_schedule(c, now, interval, agenda)
elseif due > 0 and due <= now then
  publish(c, now, math.max(tonumber(redis.call('HGET', c.state, 'version') or 0) + 1, now))
  due = 0
end
local closed = { n = 0, partial = 0, need = -1 }
if minute_ms > 0 and not more then
  local open = { closed = tonumber(state[3] or false), quarter = tonumber(state[4] or false) }
  closed = close_minutes(c, occupied, now, open, {
    minutes = KEYS[8], quarters = KEYS[9], days = KEYS[10], uniques = KEYS[11], numbers = KEYS[12],
    seen = KEYS[13], log = KEYS[14], uniques_mode = ARGV[5],
    minutes_for = ARGV[7], quarters_for = ARGV[8], days_for = ARGV[9], uniques_for = ARGV[10],
    minute = tonumber(ARGV[11]), quarter = tonumber(ARGV[12]), budget = tonumber(ARGV[2]),
    is_occupied = first_viewer ~= nil,
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
