-- Writes closed minutes to the tiers of history, for minutes.lua. Needs course and history.
--
-- Every tier is written when a minute is closed: the minute as a line, the quarter and the day by folding it into them.
-- The keys' expiry is set when they are new, and once per quarter: agenda.py keeps them for a quarter longer.

local CHAPTERS = 2000

-- The values of these fields, in order. Redis searches a small hash from its start for each field, so that reading all of
-- it is cheaper if many fields are wanted.
local function values_of(key, fields)
  if #fields < 32 or redis.call('HLEN', key) > 2 * #fields then return redis.call('HMGET', key, unpack(fields)) end
  local flat, all, found = redis.call('HGETALL', key), {}, {}
  for i = 1, #flat, 2 do all[flat[i]] = flat[i + 1] end
  for i, field in ipairs(fields) do found[i] = all[field] or false end
  return found
end

-- The numbers of these chapters in history, by name. Beyond the limit a chapter gets none, so that made-up chapters
-- cannot fill Redis.
local function numbers_of(keys, chapters, is_first)
  if #chapters == 0 then return {} end
  local found, numbers, added, n = values_of(keys.numbers, chapters), {}, {}, nil
  for i, chapter in ipairs(chapters) do
    numbers[chapter] = found[i]
    if not found[i] then
      n = n or redis.call('HLEN', keys.numbers)
      if n < CHAPTERS then
        n = n + 1
        added[#added + 1], added[#added + 2] = chapter, n
        numbers[chapter] = n
      end
    end
  end
  if #added > 0 then redis.call('HSET', keys.numbers, unpack(added)) end
  if #added > 0 or is_first then redis.call('PEXPIRE', keys.numbers, keys.days_for) end
  return numbers
end

-- Adds values to a tier's hash: the larger peak, the sum of viewer time, and whether any part is unknown.
local function fold(key, position, values, lasts_for, is_first)
  local fields, flat, is_new = {}, {}, true
  for i, value in ipairs(values) do fields[i] = position .. value.suffix end
  for i, old in ipairs(values_of(key, fields)) do
    local peak, viewer_ms, partial = values[i].peak, values[i].viewer_ms, values[i].partial
    if old then
      is_new = false
      local most, sum, mark = string.match(old, '^(%d+) (%d+)(!?)$')
      peak, viewer_ms = math.max(peak, tonumber(most)), viewer_ms + tonumber(sum)
      if mark == '!' then partial = '!' end
    end
    flat[2 * i - 1], flat[2 * i] = fields[i], string.format('%d %d%s', peak, viewer_ms, partial)
  end
  redis.call('HSET', key, unpack(flat))
  if is_new or is_first then redis.call('PEXPIRE', key, lasts_for) end
end

-- Writes these values of a minute: { chapter, peak, viewer_ms, partial }, where the chapter "" stands for the course.
-- `is_first`: none of its quarter has been written before.
local function write_values(keys, minute, values, is_first)
  local chapters, numbered, lines = {}, {}, {}
  for _, value in ipairs(values) do
    if value.chapter ~= '' then chapters[#chapters + 1] = value.chapter end
  end
  local numbers = numbers_of(keys, chapters, is_first)
  for _, value in ipairs(values) do
    local number = numbers[value.chapter]
    if number or value.chapter == '' then
      value.suffix = number and '.' .. number or ''
      numbered[#numbered + 1] = value
      lines[#lines + 1] = string.format('%d %d %d%s%s\n', minute % HOUR, value.peak, value.viewer_ms, value.partial,
        number and ' ' .. number or '')
    end
  end
  if #lines == 0 then return false end
  local text, day = table.concat(lines), day_of(minute)
  if redis.call('APPEND', keys.minutes, text) == #text or is_first then
    redis.call('PEXPIRE', keys.minutes, keys.minutes_for)
  end
  fold(keys.quarters, tostring(math.floor(minute % MINUTES_A_DAY / QUARTER)), numbered, keys.quarters_for, is_first)
  fold(keys.days, tostring(day % BLOCK), numbered, keys.days_for, is_first)
  return true
end

-- All minutes of a quarter are closed: appends it to the log for the export, with how late that was.
local function log_quarter(c, keys, quarter, now)
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
