-- Counts the distinct viewers of a day, for minutes.lua. Needs course and history.

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
  local page = redis.call('ZSCAN', c.viewers, state.scan or '0', 'COUNT', keys.budget)
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
