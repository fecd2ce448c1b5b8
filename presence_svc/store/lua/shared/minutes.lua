-- Closes a course's minutes, for sweep.lua, which has removed all ended leases before. Needs course and history.
--
-- state has  closed: the first open minute; n: how many viewers were present when it began; torn: the last minute that is
--            partial; quarter: the one that has minutes and is not closed; day: the last day whose distinct viewers
--            include those present when it began; scan: how far these have been counted
-- A minute is written in the same call that advances `closed`, so that each is written exactly once (S13).

local HOUR, QUARTER, BLOCK, CHAPTERS = 60, 15, 365, 2000
local STEPS, LINES = 60, 500 -- minutes and lines (of all chapters) that one call writes, approximately

-- Reads the open minutes, and computes how many were present when the first of them began: the sizes of the sets, less
-- the net joins since then.
local function read_open_minutes(c, occupied)
  local flat = redis.call('HGETALL', c.state)
  local minutes = { state = {}, open = {}, names = { '' }, n = { [''] = redis.call('ZCARD', c.viewers) } }
  for i, chapter in ipairs(occupied) do
    minutes.names[i + 1] = chapter.name
    minutes.n[chapter.name] = redis.call('ZCOUNT', c.places, chapter.low, chapter.high)
  end
  for i = 1, #flat, 2 do
    local minute, chapter = string.match(flat[i], '^m(%d+) ?(.*)$')
    if minute then
      minute = tonumber(minute)
      local viewer_ms, net, peak = string.match(flat[i + 1], '^(%S+) (%S+) (%S+)$')
      minutes.open[minute] = minutes.open[minute] or {}
      minutes.open[minute][chapter] = {
        viewer_ms = tonumber(viewer_ms), net = tonumber(net), peak = tonumber(peak), field = flat[i],
      }
      if not minutes.n[chapter] then
        minutes.names[#minutes.names + 1], minutes.n[chapter] = chapter, 0
      end
      minutes.n[chapter] = minutes.n[chapter] - tonumber(net)
      minutes.first = math.min(minutes.first or minute, minute)
    else
      minutes.state[flat[i]] = tonumber(flat[i + 1])
    end
  end
  return minutes
end

-- Returns the first minute to close; nil = none. Sets until which minute history is partial.
local function begin(c, minutes, now)
  local state, from, this = minutes.state, minutes.state.closed, minute_of(now)
  minutes.partial_until = state.torn or -1
  if not from then
    if not minutes.first and minutes.n[''] == 0 then return nil end
    from = math.min(minutes.first or this, minute_of(now - 1))
    if minutes.n[''] ~= 0 then minutes.partial_until = this end
  else
    -- Sets and events do not add up: a set has expired before it was swept, or was dropped.
    if minutes.n[''] ~= (state.n or 0) then
      minutes.partial_until, minutes.lost_peak = this, state.n
    end
    for minute, chapters in pairs(minutes.open) do
      if minute < from then -- Redis's clock was set back
        minutes.partial_until = this
        for chapter, one in pairs(chapters) do
          minutes.n[chapter] = minutes.n[chapter] + one.net
          redis.call('HDEL', c.state, one.field)
        end
        minutes.open[minute] = nil
      end
    end
  end
  return from
end

-- Counts a day's distinct viewers: those who joined, and those present when it began. False = not finished in this call.
local function count_uniques(c, keys, day, before, state, now)
  if keys.uniques_mode == 'off' then return true end
  local add = keys.uniques_mode == 'exact' and 'SADD' or 'PFADD'
  local function count(viewers)
    if #viewers == 0 then return end
    redis.call(add, keys.uniques, unpack(viewers))
    redis.call('PEXPIRE', keys.uniques, keys.uniques_for)
  end
  local joined = redis.call('ZRANGEBYSCORE', c.places, '-inf', '(' .. int(before), 'LIMIT', 0, keys.budget)
  local viewers = {}
  for i, member in ipairs(joined) do viewers[i] = string.match(member, '^0%d+ (.*)$') end
  count(viewers)
  if #viewers > 0 then redis.call('ZREMRANGEBYRANK', c.places, 0, #viewers - 1) end
  if #viewers == keys.budget then return false end
  if (state.day or -1) >= day then return true end
  local page = redis.call('ZSCAN', c.viewers, int(state.scan or 0), 'COUNT', keys.budget)
  local present, today = {}, day_of(minute_of(now))
  for i = 1, #page[2], 2 do
    -- If a day is closed late, some viewers have joined after it.
    local is_later = false
    for later = day + 1, today do
      is_later = is_later or redis.call('ZSCORE', c.places, uniques_member(later, page[2][i]))
    end
    if not is_later then present[#present + 1] = page[2][i] end
  end
  for start = 1, #present, 1000 do count({ unpack(present, start, math.min(start + 999, #present)) }) end
  if page[1] ~= '0' then
    redis.call('HSET', c.state, 'scan', page[1])
    return false
  end
  redis.call('HDEL', c.state, 'scan')
  redis.call('HSET', c.state, 'day', int(day))
  state.day = day
  return true
end

-- The values of these fields, in order. Redis searches a small hash from its start for each field, so that reading all of
-- it is cheaper if many fields are wanted.
local function values_of(key, fields)
  if #fields < 32 or redis.call('HLEN', key) > 2 * #fields then return redis.call('HMGET', key, unpack(fields)) end
  local flat, all, found = redis.call('HGETALL', key), {}, {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  for i, field in ipairs(fields) do found[i] = all[field] or false end
  return found
end

-- The numbers of these chapters in history. Beyond the limit a chapter gets none, so that made-up chapters cannot fill
-- Redis.
local function numbers_of(keys, chapters)
  if #chapters == 0 then return {} end
  local found, added, n = values_of(keys.numbers, chapters), {}, redis.call('HLEN', keys.numbers)
  for i, chapter in ipairs(chapters) do
    if not found[i] and n < CHAPTERS then
      n = n + 1
      added[#added + 1], added[#added + 2] = chapter, n
      found[i] = tostring(n)
    end
  end
  if #added > 0 then redis.call('HSET', keys.numbers, unpack(added)) end
  return found
end

-- Adds values to a tier's hash: the larger peak, the sum of viewer time, and whether any part is unknown.
local function fold(key, position, values, lasts_for)
  local fields, flat = {}, {}
  for i, value in ipairs(values) do fields[i] = position .. value.suffix end
  local old = values_of(key, fields)
  for i, value in ipairs(values) do
    local peak, viewer_ms, partial = value.peak, value.viewer_ms, value.partial
    if old[i] then
      local most, sum, mark = string.match(old[i], '^(%d+) (%d+)(!?)$')
      peak, viewer_ms = math.max(peak, tonumber(most)), viewer_ms + tonumber(sum)
      if mark == '!' then partial = '!' end
    end
    flat[2 * i - 1], flat[2 * i] = fields[i], string.format('%.0f %.0f%s', peak, viewer_ms, partial)
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('PEXPIRE', key, lasts_for)
end

local function write_minute(c, keys, minutes, minute)
  local open, partial, values, lines = minutes.open[minute] or {}, minute <= minutes.partial_until and '!' or '', {}, {}
  local found, chapters, fields = {}, {}, {}
  for _, chapter in ipairs(minutes.names) do
    local event = open[chapter] or { viewer_ms = 0, net = 0, peak = 0 }
    local n = minutes.n[chapter]
    local viewer_ms, peak = (n + event.net) * minute_ms + event.viewer_ms, math.max(n, event.peak, 0)
    if chapter == '' and minutes.lost_peak then peak = math.max(peak, minutes.lost_peak) end
    minutes.n[chapter] = n + event.net
    if peak > 0 or viewer_ms > 0 then
      found[#found + 1] = { chapter = chapter, peak = peak, viewer_ms = math.max(viewer_ms, 0), partial = partial }
      if chapter ~= '' then chapters[#chapters + 1] = chapter end
    end
    if event.field then fields[#fields + 1] = event.field end
  end
  local numbers, at = numbers_of(keys, chapters), 0
  for _, value in ipairs(found) do
    local number = ''
    if value.chapter ~= '' then
      at = at + 1
      number = numbers[at]
    end
    if number then
      value.suffix = number == '' and '' or '.' .. number
      values[#values + 1] = value
      lines[#lines + 1] = string.format('%d %.0f %.0f%s%s', minute % HOUR, value.peak, value.viewer_ms, partial,
        number == '' and '\n' or ' ' .. number .. '\n')
    end
  end
  if #fields > 0 then redis.call('HDEL', c.state, unpack(fields)) end
  minutes.lost_peak = nil
  if #lines == 0 then return false end
  local day = day_of(minute)
  redis.call('APPEND', keys.minutes, table.concat(lines))
  redis.call('PEXPIRE', keys.minutes, keys.minutes_for)
  fold(keys.quarters, tostring(math.floor(minute % MINUTES_A_DAY / QUARTER)), values, keys.quarters_for)
  fold(keys.days, tostring(day % BLOCK), values, keys.days_for)
  redis.call('PEXPIRE', keys.numbers, keys.days_for)
  return true
end

-- All minutes of a quarter are closed: appends it to the log for the export, with how late that was.
local function close_quarter(c, keys, quarter, now)
  local late = now - (quarter + 1) * QUARTER * minute_ms
  redis.call('APPEND', keys.log, id_of(c) .. ' ' .. int(quarter) .. ' ' .. int(late) .. '\n')
  redis.call('PEXPIRE', keys.log, keys.quarters_for)
  -- Redis allocates twice the size of a string that is appended to; a copy takes only its size.
  local lines = redis.call('GET', keys.minutes)
  if lines then redis.call('SET', keys.minutes, lines, 'KEEPTTL') end
  if keys.uniques_mode ~= 'off' then
    local day = day_of(quarter * QUARTER)
    local n = redis.call(keys.uniques_mode == 'exact' and 'SCARD' or 'PFCOUNT', keys.uniques)
    redis.call('HSET', keys.days, day % BLOCK .. '.u', n)
  end
end

-- Returns { n, partial, next_due, more, need }, as in the reply of sweep.lua.
local function close_minutes(c, occupied, now, keys)
  local last = minute_of(now - 1) - 1 -- while it is now, ends on that boundary may still be recorded
  local result = { n = 0, partial = 0, need = -1 }
  local is_occupied = redis.call('ZCARD', c.viewers) > 0
  local stored = redis.call('HMGET', c.state, 'closed', 'quarter')
  local closed, quarter = tonumber(stored[1] or false), tonumber(stored[2] or false)
  local hour = math.floor(keys.minute / HOUR)

  local function is_over(one) return one and one < math.floor((last + 1) / QUARTER) end
  local function with_next_due(from)
    local has_events = is_occupied
    for minute = from, last + 2 do
      has_events = has_events or redis.call('HEXISTS', c.state, 'm' .. int(minute)) == 1
    end
    if has_events then
      result.next_due = (from + 1) * minute_ms + 1
    elseif quarter then
      result.next_due = (quarter + 1) * QUARTER * minute_ms + 1
    end
    return result
  end
  if closed and closed > last and not is_over(quarter) then return with_next_due(closed) end

  local minutes = read_open_minutes(c, occupied)
  local from = begin(c, minutes, now)
  if not from then return result end
  local function finish()
    if math.floor(quarter * QUARTER / HOUR) ~= hour or math.floor(now / minute_ms / QUARTER) ~= keys.quarter then
      result.need = quarter * QUARTER
      return false
    end
    close_quarter(c, keys, quarter, now)
    quarter = nil
    return true
  end

  local is_counted = false
  local function next_open(minute)
    local found = last + 1
    for each in pairs(minutes.open) do
      if each >= minute and each < found then found = each end
    end
    return found
  end
  local minute, steps = from, math.max(1, math.min(STEPS, math.floor(LINES / #minutes.names)))
  while minute <= last do
    local is_empty = true
    for _, n in pairs(minutes.n) do is_empty = is_empty and n == 0 end
    if is_empty and not minutes.lost_peak then minute = next_open(minute) end
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
    if write_minute(c, keys, minutes, minute) then
      result.n = result.n + 1
      if minute <= minutes.partial_until then result.partial = result.partial + 1 end
      if not quarter then
        quarter = math.floor(minute / QUARTER)
        redis.call('ZADD', keys.seen, int(now), id_of(c))
        redis.call('PEXPIRE', keys.seen, keys.days_for)
        redis.call('ZREMRANGEBYSCORE', keys.seen, '-inf', int(now - keys.days_for))
      end
    end
    minute = minute + 1
  end
  if minute > last and is_over(quarter) then finish() end
  redis.call('HSET', c.state, 'closed', int(minute), 'n', int(minutes.n['']), 'torn', int(minutes.partial_until))
  if quarter then redis.call('HSET', c.state, 'quarter', int(quarter)) else redis.call('HDEL', c.state, 'quarter') end
  redis.call('PEXPIRE', c.state, DAY)
  if result.more or result.need >= 0 then return result end
  return with_next_due(minute)
end
