-- Closes a course's minutes, for sweep.lua, which has removed all ended leases before. Needs course, history, uniques and
-- tiers.
--
-- state has  closed: the first open minute; n: how many viewers were present when it began; part: the last of its
--            chapters, by name, that is written, if others are not; torn: the last minute that is partial; quarter: the
--            one that has minutes and is not closed; day: the last day whose distinct viewers include those present
--            when it began; scan: how far these have been counted
-- A minute is written in the same call that advances `closed`, so that each is written exactly once (S13). One with very
-- many chapters is written by several calls, each of which advances `part`; the course itself comes last.

local STEPS, LINES = 60, 200 -- minutes and chapters (of all minutes together) that one call writes, approximately
local M = string.byte('m')

-- Reads the open minutes. Events are parsed when they are needed: those of other chapters may be many.
local function read_open_minutes(c, chapters)
  local minutes = { state = {}, open = {}, names = {}, occupied = {}, n = {} }
  for i, chapter in ipairs(chapters) do
    minutes.names[i], minutes.occupied[chapter.name] = chapter.name, chapter
  end
  local flat = redis.call('HGETALL', c.state)
  for i = 1, #flat, 2 do
    if string.byte(flat[i]) ~= M then
      minutes.state[flat[i]] = flat[i + 1]
    else
      local text, chapter = string.match(flat[i], '^m(%d+) ?(.*)$')
      local minute = tonumber(text)
      minutes.open[minute] = minutes.open[minute] or {}
      minutes.open[minute][chapter] = { field = flat[i], text = flat[i + 1] }
      minutes.first = math.min(minutes.first or minute, minute)
      if chapter ~= '' and not minutes.occupied[chapter] then
        minutes.names[#minutes.names + 1], minutes.occupied[chapter] = chapter, { viewers = 0 }
      end
    end
  end
  minutes.had = { quarter = minutes.state.quarter, part = minutes.state.part }
  for _, name in ipairs({ 'closed', 'n', 'torn', 'day' }) do minutes.state[name] = tonumber(minutes.state[name]) end
  return minutes
end

-- What happened in a minute; nil = nothing.
local function event_in(minutes, minute, chapter)
  local event = minutes.open[minute] and minutes.open[minute][chapter]
  if event and not event.net then
    local viewer_ms, net, peak = string.match(event.text, '^(%S+) (%S+) (%S+)$')
    event.viewer_ms, event.net, event.peak = tonumber(viewer_ms), tonumber(net), tonumber(peak)
  end
  return event
end

-- How many were present when the first open minute began: the size of the set, less the net joins since then.
local function count_at_begin(c, minutes, chapter)
  local one, n = minutes.occupied[chapter], nil
  if chapter == '' then
    n = redis.call('ZCARD', c.viewers)
  else
    n = one.viewers or redis.call('ZCOUNT', c.places, one.low, one.high)
  end
  for minute in pairs(minutes.open) do
    local event = event_in(minutes, minute, chapter)
    if event then n = n - event.net end
  end
  return n
end

-- Forgets the events of minutes that are closed already: Redis's clock was set back.
local function drop_events_before(c, minutes, from)
  local is_any = false
  for minute, chapters in pairs(minutes.open) do
    if minute < from then
      is_any = true
      for _, event in pairs(chapters) do redis.call('HDEL', c.state, event.field) end
      minutes.open[minute] = nil
    end
  end
  return is_any
end

-- Returns the first minute to close; nil = none. Sets until which minute history is partial.
local function begin(c, minutes, now)
  local state, from, this = minutes.state, minutes.state.closed, minute_of(now)
  local n = count_at_begin(c, minutes, '')
  minutes.n[''], minutes.partial_until = n, state.torn or -1
  if not from then
    if not minutes.first and n == 0 then return nil end
    from = math.min(minutes.first or this, minute_of(now - 1))
    if n ~= 0 then minutes.partial_until = this end
    return from
  end
  -- Sets and events do not add up: a set has expired before it was swept, or was dropped.
  if n ~= (state.n or 0) then minutes.partial_until, minutes.lost_peak = this, state.n end
  if drop_events_before(c, minutes, from) then
    minutes.partial_until, minutes.n[''] = this, count_at_begin(c, minutes, '')
  end
  return from
end

-- The chapters to write now, and the last of them if others are left for the next call.
local function next_chapters(minutes)
  local after, some = minutes.state.part, {}
  if not after and #minutes.names <= LINES then return minutes.names end
  table.sort(minutes.names)
  for _, name in ipairs(minutes.names) do
    if not after or name > after then
      if #some == LINES then return some, some[LINES] end
      some[#some + 1] = name
    end
  end
  return some
end

local function value_in(c, minutes, minute, chapter, events)
  local event, n = event_in(minutes, minute, chapter), minutes.n[chapter] or count_at_begin(c, minutes, chapter)
  local viewer_ms, peak = n * minute_ms, math.max(n, 0)
  minutes.n[chapter] = n
  if event then
    viewer_ms, peak = (n + event.net) * minute_ms + event.viewer_ms, math.max(peak, event.peak)
    minutes.n[chapter] = n + event.net
    events[#events + 1] = event.field
  end
  if chapter == '' then
    peak, minutes.lost_peak = math.max(peak, minutes.lost_peak or 0), nil
  end
  if peak == 0 and viewer_ms <= 0 then return nil end
  local partial = minute <= minutes.partial_until and '!' or ''
  return { chapter = chapter, peak = peak, viewer_ms = math.max(viewer_ms, 0), partial = partial }
end

-- Writes a minute, or a part of it: then minutes.state.part says how far. Returns whether there was anything to write.
local function write_minute(c, keys, minutes, minute, is_first)
  local chapters, part = next_chapters(minutes)
  local values, events = {}, {}
  for _, chapter in ipairs(chapters) do
    values[#values + 1] = value_in(c, minutes, minute, chapter, events)
  end
  if not part then values[#values + 1] = value_in(c, minutes, minute, '', events) end
  if #events > 0 then redis.call('HDEL', c.state, unpack(events)) end
  minutes.state.part = part
  return #values > 0 and write_values(keys, minute, values, is_first)
end

-- Remembers how far the minutes are closed.
local function store_state(c, minutes, minute, quarter, lasts_a_day)
  local fields = { 'closed', int(minute), 'n', int(minutes.lost_peak or minutes.n['']), 'torn', int(minutes.partial_until) }
  local now_set = { quarter = quarter and int(quarter), part = minutes.state.part }
  for name, value in pairs(now_set) do fields[#fields + 1], fields[#fields + 2] = name, value end
  redis.call('HSET', c.state, unpack(fields))
  for _, name in ipairs({ 'quarter', 'part' }) do
    if minutes.had[name] and not now_set[name] then redis.call('HDEL', c.state, name) end
  end
  if lasts_a_day then redis.call('PEXPIRE', c.state, DAY) end
end

-- When the minutes up to `minute` are due to be closed. Those of all courses end at the same moments; so that heartbeats
-- do not wait for thousands of closings, these are spread: one course after the other, PACE ms each, over `longest` ms.
local PACE, PARTITIONS_OF_A_MASTER = 6, 64
local function closing_due(c, minute, longest)
  local agenda = KEYS[1]
  local pace = string.sub(agenda, -8) == '}:agenda' and PACE * PARTITIONS_OF_A_MASTER or PACE
  local spread = math.min((redis.call('ZCARD', agenda) - 1) * pace, longest)
  local delay = spread < 1 and 0 or tonumber(string.sub(redis.sha1hex(id_of(c)), 1, 8), 16) % math.floor(spread)
  return (minute + 1) * minute_ms + 1 + delay
end

-- Adds to the result when the open minutes, from `from` on, are due. An occupied course is swept at the end of its first
-- lease anyway, which closes what is over; so it is due only when its quarter is. An empty one has no leases, and its
-- sets would expire, which have the viewers who are not counted among the day's yet.
local function with_next_due(c, result, from, last, quarter, is_occupied)
  local has_events = false
  for minute = is_occupied and last + 3 or from, last + 2 do
    has_events = has_events or redis.call('HEXISTS', c.state, 'm' .. int(minute)) == 1
  end
  if has_events then
    result.next_due = closing_due(c, from, minute_ms / 4)
    redis.call('PEXPIRE', c.places, int(2 * minute_ms), 'GT')
  elseif is_occupied or quarter then
    quarter = quarter or math.floor(from / QUARTER)
    result.next_due = closing_due(c, (quarter + 1) * QUARTER - 1, 2 * minute_ms)
  end
  return result
end

-- `open` has `closed` and `quarter` from state. Returns { n, partial, next_due, more, need }, as in the reply of sweep.lua.
local function close_minutes(c, chapters, now, open, keys)
  local last = minute_of(now - 1) - 1 -- while it is now, ends on that boundary may still be recorded
  local result = { n = 0, partial = 0, need = -1 }
  local closed, quarter, hour = open.closed, open.quarter, math.floor(keys.minute / HOUR)

  local function is_over(one) return one and one < math.floor((last + 1) / QUARTER) end
  if closed and closed > last and not is_over(quarter) then
    return with_next_due(c, result, closed, last, quarter, keys.is_occupied)
  end

  local minutes = read_open_minutes(c, chapters)
  local from = begin(c, minutes, now)
  if not from then return result end
  local function finish()
    if math.floor(quarter * QUARTER / HOUR) ~= hour or math.floor(now / minute_ms / QUARTER) ~= keys.quarter then
      result.need = quarter * QUARTER
      return false
    end
    log_quarter(c, keys, quarter, now)
    quarter = nil
    return true
  end
  local function next_open(minute)
    local found = last + 1
    for each in pairs(minutes.open) do
      if each >= minute and each < found then found = each end
    end
    return found
  end

  local is_counted, is_begun, minute = false, false, from
  local steps = math.max(1, math.min(STEPS, math.floor(LINES / (#minutes.names + 1))))
  while minute <= last do
    if minutes.n[''] == 0 and not minutes.lost_peak then minute = next_open(minute) end
    if minute > last then break end
    if result.n >= steps then
      result.more = true
      break
    end
    if quarter and quarter ~= math.floor(minute / QUARTER) and not finish() then break end
    if math.floor(minute / HOUR) ~= hour then
      result.need = minute
      break
    end
    if not is_counted then
      local day = day_of(minute)
      local before = math.min(last + 1, (day + 1) * MINUTES_A_DAY) * minute_ms
      if not count_uniques(c, keys, day, before, minutes.state, now) then
        result.more = true
        break
      end
      is_counted = true
    end
    local is_written = write_minute(c, keys, minutes, minute, not quarter)
    if is_written and not quarter then
      quarter, is_begun = math.floor(minute / QUARTER), true
      redis.call('ZADD', keys.seen, int(now), id_of(c))
      redis.call('PEXPIRE', keys.seen, keys.days_for)
      redis.call('ZREMRANGEBYSCORE', keys.seen, '-inf', int(now - keys.days_for))
    end
    if minutes.state.part then
      result.more = true
      break
    end
    if is_written then
      result.n = result.n + 1
      if minute <= minutes.partial_until then result.partial = result.partial + 1 end
    end
    minute = minute + 1
  end
  if minute > last and is_over(quarter) then finish() end
  store_state(c, minutes, minute, quarter, is_begun or not keys.is_occupied)
  if result.more or result.need >= 0 then return result end
  return with_next_due(c, result, minute, last, quarter, keys.is_occupied)
end
