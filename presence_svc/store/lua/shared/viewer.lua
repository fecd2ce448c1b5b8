-- Shared by the scripts that change a viewer's sessions: their records, and their standing in a course.
-- Needs course and history.

-- A record is "lease seq place flags digest chapter"; a place of 0 is no chapter, a seq of -1 never said.
local function parse(record)
  local lease, seq, place, said = string.match(record, '^(%d+) (%-?%d+) (%d+) (.*)$')
  return tonumber(lease), tonumber(seq), tonumber(place), said
end

-- Has this viewer as many live sessions as they may have? Mostly the number of fields tells.
local function is_full(key, now, limit)
  if redis.call('HLEN', key) < limit then return false end
  local flat, n = redis.call('HGETALL', key), 0
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' and parse(flat[i + 1]) > now then n = n + 1 end
  end
  return n >= limit
end

-- What is said of a place: its chapter is the last of three words.
local function chapter_in(said) return string.match(said, '^%S+ %S+ (.*)$') end

-- Brings a viewer's standing in the course's sets in line with the records of their sessions.
-- `was` has the chapter of each place that they may have to be removed from. Returns whether a count has changed,
-- and when to look again (0 = need not): the first of their leases to end (S9), or a minute's end (S13).
local function settle(c, viewer, key, now, was)
  local flat = redis.call('HGETALL', key)
  local lease, first, hidden_name, spots = 0, 0, 0, {}
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' then
      local ends, _, place, said = parse(flat[i + 1])
      if ends <= now then
        redis.call('HDEL', key, flat[i])
        was[place] = chapter_in(said)
      else
        lease = math.max(lease, ends)
        if first == 0 or ends < first then first = ends end
        if string.sub(said, 2, 2) == 'a' then hidden_name = math.max(hidden_name, ends) end
        if place > 0 then
          local spot = spots[place] or { ends = 0, chapter = chapter_in(said) }
          spot.ends, spots[place] = math.max(spot.ends, ends), spot
        end
      end
    end
  end
  local change, has_come = false, false
  -- `chapter` is what history calls it: a chapter's name, "" for the course, nil for what it does not keep.
  local function stand(zset, place, score, member, chapter)
    local base = place * W
    local old = tonumber(redis.call('ZSCORE', zset, member) or false)
    if score > 0 then
      redis.call('ZADD', zset, int(base + score), member)
      -- Lapsed but not yet swept counts as absent: a message may have gone out without them.
      if old and old > base + now then return end
      change = true
      if chapter and old then went(c, chapter, viewer, old - base) end
      if chapter then came(c, chapter, viewer, now, place) end
      if chapter == '' then has_come = true end
    elseif old then
      -- A lapsed chapter's place may be another's by now, and so may whoever lapsed there: a sweep sees to them.
      local is_old = place > 0 and old <= base + now
      if is_old and redis.call('HGET', c.chapters, chapter) ~= tostring(place) then return end
      redis.call('ZREM', zset, member)
      change = true
      if chapter then went(c, chapter, viewer, math.min(old - base, now)) end
      if chapter == '' then is_gone_from(c, viewer) end
    end
  end
  for place, chapter in pairs(was) do
    if place > 0 and not spots[place] then stand(c.places, place, 0, place .. ' ' .. viewer, chapter) end
  end
  for place, spot in pairs(spots) do
    stand(c.places, place, spot.ends, place .. ' ' .. viewer, spot.chapter)
  end
  stand(c.viewers, 0, lease, viewer, '')
  stand(c.anonymous, 0, hidden_name, viewer)
  if lease > 0 then
    redis.call('PEXPIREAT', key, int(lease))
  else
    redis.call('DEL', key)
  end
  if has_come then first = look_by(first, now) end
  return change, first
end
