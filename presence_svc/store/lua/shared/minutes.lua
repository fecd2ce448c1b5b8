-- Closes a course's minutes: for sweep.lua, which has removed all whose lease is over. Needs course and history.
--
-- state has  closed: the first minute that is open; n: how many were there when it began; torn: the last minute of
--            which something was lost; quarter: the one that has minutes and is not closed; day: the last day whose
--            uniques include who was there when it began; scan: how far they have been counted
-- Whoever moves `closed` on writes the minute, in the same call: each minute is written once (S13).

local HOUR, QUARTER, BLOCK, CHAPTERS = 60, 15, 365, 2000
local STEPS, LINES = 60, 500 -- minutes, and lines of all their chapters, that one call writes, or little more

-- All that is open, and how many there were when the first open minute began: who is in the sets, less the turns.
local function open_books(c, rooms)
  local flat = redis.call('HGETALL', c.state)
  local books = { state = {}, open = {}, names = { '' }, n = { [''] = redis.call('ZCARD', c.viewers) } }
  for i, room in ipairs(rooms) do
    books.names[i + 1] = room.name
    books.n[room.name] = redis.call('ZCOUNT', c.places, room.low, room.high)
  end
  for i = 1, #flat, 2 do
    local minute, chapter = string.match(flat[i], '^m(%d+) ?(.*)$')
    if minute then
      minute = tonumber(minute)
      local s, d, peak = string.match(flat[i + 1], '^(%S+) (%S+) (%S+)$')
      books.open[minute] = books.open[minute] or {}
      books.open[minute][chapter] = { s = tonumber(s), d = tonumber(d), peak = tonumber(peak), field = flat[i] }
      if not books.n[chapter] then
        books.names[#books.names + 1], books.n[chapter] = chapter, 0
      end
      books.n[chapter] = books.n[chapter] - tonumber(d)
      books.first = math.min(books.first or minute, minute)
    else
      books.state[flat[i]] = tonumber(flat[i + 1])
    end
  end
  return books
end

-- The first minute that may be closed, and what of it must be called partial. nil = nothing is open.
local function begin(c, books, now)
  local state, from, this = books.state, books.state.closed, minute_of(now)
  books.torn = state.torn or -1
  if not from then
    if not books.first and books.n[''] == 0 then return nil end
    from = math.min(books.first or this, minute_of(now - 1))
    if books.n[''] ~= 0 then books.torn = this end
  else
    -- Sets and turns that do not add up: something has expired by itself, or was dropped.
    if books.n[''] ~= (state.n or 0) then
      books.torn, books.known = this, state.n
    end
    for minute, chapters in pairs(books.open) do
      if minute < from then -- the clock of Redis went back
        books.torn = this
        for chapter, one in pairs(chapters) do
          books.n[chapter] = books.n[chapter] + one.d
          redis.call('HDEL', c.state, one.field)
        end
        books.open[minute] = nil
      end
    end
  end
  return from
end

-- Counts who has come among the day's distinct viewers, and who was there when it began. False = there are more.
local function count_uniques(c, keys, day, before, state, now)
  if keys.way == 'off' then return true end
  local add = keys.way == 'exact' and 'SADD' or 'PFADD'
  local function count(viewers)
    if #viewers == 0 then return end
    redis.call(add, keys.uniques, unpack(viewers))
    redis.call('PEXPIRE', keys.uniques, keys.uniques_for)
  end
  local came_since = redis.call('ZRANGEBYSCORE', c.places, '-inf', '(' .. int(before), 'LIMIT', 0, keys.room)
  local viewers = {}
  for i, member in ipairs(came_since) do viewers[i] = string.match(member, '^0%d+ (.*)$') end
  count(viewers)
  if #viewers > 0 then redis.call('ZREMRANGEBYRANK', c.places, 0, #viewers - 1) end
  if #viewers == keys.room then return false end
  if (state.day or -1) >= day then return true end
  local page = redis.call('ZSCAN', c.viewers, int(state.scan or 0), 'COUNT', keys.room)
  local there, today = {}, day_of(minute_of(now))
  for i = 1, #page[2], 2 do
    -- When a day is closed late, some have come since it was over.
    local is_later = false
    for later = day + 1, today do
      is_later = is_later or redis.call('ZSCORE', c.places, mark_of(later, page[2][i]))
    end
    if not is_later then there[#there + 1] = page[2][i] end
  end
  for start = 1, #there, 1000 do count({ unpack(there, start, math.min(start + 999, #there)) }) end
  if page[1] ~= '0' then
    redis.call('HSET', c.state, 'scan', page[1])
    return false
  end
  redis.call('HDEL', c.state, 'scan')
  redis.call('HSET', c.state, 'day', int(day))
  state.day = day
  return true
end

-- The values of these fields, in their order. A small hash is searched from its beginning for each field: whoever wants
-- much of one reads all of it.
local function values_of(key, fields)
  if #fields < 32 or redis.call('HLEN', key) > 2 * #fields then return redis.call('HMGET', key, unpack(fields)) end
  local flat, all, found = redis.call('HGETALL', key), {}, {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  for i, field in ipairs(fields) do found[i] = all[field] or false end
  return found
end

-- The numbers of these chapters in the tiers. Beyond the limit one has none: whoever makes up chapters cannot fill
-- Redis with them.
local function numbers_of(keys, chapters)
  if #chapters == 0 then return {} end
  local found, news, n = values_of(keys.numbers, chapters), {}, redis.call('HLEN', keys.numbers)
  for i, chapter in ipairs(chapters) do
    if not found[i] and n < CHAPTERS then
      n = n + 1
      news[#news + 1], news[#news + 2] = chapter, n
      found[i] = tostring(n)
    end
  end
  if #news > 0 then redis.call('HSET', keys.numbers, unpack(news)) end
  return found
end

-- Adds to a tier's hash: the larger peak, the sum of the viewer time, and whether any part is unknown.
local function fold(key, slot, values, lasts_for)
  local fields, flat = {}, {}
  for i, value in ipairs(values) do fields[i] = slot .. value.suffix end
  local old = values_of(key, fields)
  for i, value in ipairs(values) do
    local peak, area, torn = value.peak, value.area, value.torn
    if old[i] then
      local most, sum, mark = string.match(old[i], '^(%d+) (%d+)(!?)$')
      peak, area = math.max(peak, tonumber(most)), area + tonumber(sum)
      if mark == '!' then torn = '!' end
    end
    flat[2 * i - 1], flat[2 * i] = fields[i], string.format('%.0f %.0f%s', peak, area, torn)
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('PEXPIRE', key, lasts_for)
end

local function write(c, keys, books, minute)
  local open, torn, values, lines = books.open[minute] or {}, minute <= books.torn and '!' or '', {}, {}
  local found, chapters, fields = {}, {}, {}
  for _, chapter in ipairs(books.names) do
    local event = open[chapter] or { s = 0, d = 0, peak = 0 }
    local n = books.n[chapter]
    local area, peak = (n + event.d) * minute_ms + event.s, math.max(n, event.peak, 0)
    if chapter == '' and books.known then peak = math.max(peak, books.known) end
    books.n[chapter] = n + event.d
    if peak > 0 or area > 0 then
      found[#found + 1] = { chapter = chapter, peak = peak, area = math.max(area, 0), torn = torn }
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
      lines[#lines + 1] = string.format('%d %.0f %.0f%s%s', minute % HOUR, value.peak, value.area, torn,
        number == '' and '\n' or ' ' .. number .. '\n')
    end
  end
  if #fields > 0 then redis.call('HDEL', c.state, unpack(fields)) end
  books.known = nil
  if #lines == 0 then return false end
  local day = day_of(minute)
  redis.call('APPEND', keys.minutes, table.concat(lines))
  redis.call('PEXPIRE', keys.minutes, keys.minutes_for)
  fold(keys.quarters, tostring(math.floor(minute % MINUTES_A_DAY / QUARTER)), values, keys.quarters_for)
  fold(keys.days, tostring(day % BLOCK), values, keys.days_for)
  redis.call('PEXPIRE', keys.numbers, keys.days_for)
  return true
end

-- All minutes of a quarter are closed: it is told to those who collect them, with how late that was.
local function close_quarter(c, keys, quarter, now)
  local late = now - (quarter + 1) * QUARTER * minute_ms
  redis.call('APPEND', keys.log, id_of(c) .. ' ' .. int(quarter) .. ' ' .. int(late) .. '\n')
  redis.call('PEXPIRE', keys.log, keys.quarters_for)
  -- A string that was appended to has room for as much again: a copy has none.
  local lines = redis.call('GET', keys.minutes)
  if lines then redis.call('SET', keys.minutes, lines, 'KEEPTTL') end
  if keys.way ~= 'off' then
    local day = day_of(quarter * QUARTER)
    local n = redis.call(keys.way == 'exact' and 'SCARD' or 'PFCOUNT', keys.uniques)
    redis.call('HSET', keys.days, day % BLOCK .. '.u', n)
  end
end

-- Returns { n, partial, look, more, need }, as in the reply of sweep.lua.
local function close_minutes(c, rooms, now, keys)
  local last = minute_of(now - 1) - 1 -- ends on that boundary may still be booked while it is now
  local result = { n = 0, partial = 0, need = -1 }
  local is_here = redis.call('ZCARD', c.viewers) > 0
  local seen = redis.call('HMGET', c.state, 'closed', 'quarter')
  local closed, quarter = tonumber(seen[1] or false), tonumber(seen[2] or false)
  local hour = math.floor(keys.minute / HOUR)

  local function is_over(one) return one and one < math.floor((last + 1) / QUARTER) end
  local function look(from)
    local has_events = is_here
    for minute = from, last + 2 do
      has_events = has_events or redis.call('HEXISTS', c.state, 'm' .. int(minute)) == 1
    end
    if has_events then
      result.look = (from + 1) * minute_ms + 1
    elseif quarter then
      result.look = (quarter + 1) * QUARTER * minute_ms + 1
    end
    return result
  end
  if closed and closed > last and not is_over(quarter) then return look(closed) end

  local books = open_books(c, rooms)
  local from = begin(c, books, now)
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
    for each in pairs(books.open) do
      if each >= minute and each < found then found = each end
    end
    return found
  end
  local minute, steps = from, math.max(1, math.min(STEPS, math.floor(LINES / #books.names)))
  while minute <= last do
    local is_empty = true
    for _, n in pairs(books.n) do is_empty = is_empty and n == 0 end
    if is_empty and not books.known then minute = next_open(minute) end
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
      if not count_uniques(c, keys, day, before, books.state, now) then
        result.more = true
        break
      end
      is_counted = true
    end
    if write(c, keys, books, minute) then
      result.n = result.n + 1
      if minute <= books.torn then result.partial = result.partial + 1 end
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
  redis.call('HSET', c.state, 'closed', int(minute), 'n', int(books.n['']), 'torn', int(books.torn))
  if quarter then redis.call('HSET', c.state, 'quarter', int(quarter)) else redis.call('HDEL', c.state, 'quarter') end
  redis.call('PEXPIRE', c.state, DAY)
  if result.more or result.need >= 0 then return result end
  return look(minute)
end
