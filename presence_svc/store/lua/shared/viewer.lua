-- A viewer's session records, and their membership in a course's sets. Needs course and history.

-- A record is "lease seq place status", where status = "flags digest chapter". Place 0 = no chapter; seq -1 = none yet.
local function parse_record(record)
  local lease, seq, place, status = string.match(record, '^(%d+) (%-?%d+) (%d+) (.*)$')
  return tonumber(lease), tonumber(seq), tonumber(place), status
end

local function fields_of(key)
  local flat = redis.call('HGETALL', key)
  spent = spent + #flat / 2
  return flat
end

-- Whether this viewer has as many live sessions as allowed. Usually the number of fields already answers that.
local function is_at_session_limit(key, now, limit)
  if redis.call('HLEN', key) < limit then return false end
  local flat, n = fields_of(key), 0
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' and parse_record(flat[i + 1]) > now then n = n + 1 end
  end
  return n >= limit
end

-- The chapter is the last of a status's three words.
local function chapter_in(status) return string.match(status, '^%S+ %S+ (.*)$') end

-- Updates the course's sets to match the records of a viewer's sessions. `former` maps each place that the viewer may
-- have to be removed from to its chapter. Returns whether a count has changed, and when the course is due (0 = need
-- not be): at the first end of their leases (S9).
local function sync_viewer(c, viewer, key, now, former)
  local flat = fields_of(key)
  spent = spent + VIEWER
  local lease, first, anonymous_until, by_place = 0, 0, 0, {}
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' then
      local ends, _, place, status = parse_record(flat[i + 1])
      if ends <= now then
        redis.call('HDEL', key, flat[i])
        former[place] = chapter_in(status)
      else
        lease = math.max(lease, ends)
        if first == 0 or ends < first then first = ends end
        if string.sub(status, 2, 2) == 'a' then anonymous_until = math.max(anonymous_until, ends) end
        if place > 0 then
          local at = by_place[place] or { ends = 0, chapter = chapter_in(status) }
          at.ends, by_place[place] = math.max(at.ends, ends), at
        end
      end
    end
  end
  local change = false
  -- `chapter` is the name in history: a chapter's, "" for the course, nil for a set that history does not record.
  local function set_score(zset, place, score, member, chapter)
    local base = place * W
    local old = tonumber(redis.call('ZSCORE', zset, member) or false)
    if score > 0 then
      redis.call('ZADD', zset, int(base + score), member)
      -- A viewer with an ended lease that is not swept yet counts as absent: a message may have been sent without them.
      if old and old > base + now then return end
      change = true
      if chapter and old then record_end(c, chapter, viewer, old - base) end
      if chapter then record_join(c, chapter, viewer, now, place) end
    elseif old then
      -- If the chapter has lost its place since this lease ended, a sweep removes the member, not this call.
      local is_old = place > 0 and old <= base + now
      if is_old and redis.call('HGET', c.chapters, chapter) ~= tostring(place) then return end
      redis.call('ZREM', zset, member)
      change = true
      if chapter then record_end(c, chapter, viewer, math.min(old - base, now)) end
      if chapter == '' then remove_course(c, viewer) end
    end
  end
  for place, chapter in pairs(former) do
    if place > 0 and not by_place[place] then set_score(c.places, place, 0, place .. ' ' .. viewer, chapter) end
  end
  for place, at in pairs(by_place) do
    set_score(c.places, place, at.ends, place .. ' ' .. viewer, at.chapter)
  end
  set_score(c.viewers, 0, lease, viewer, '')
  set_score(c.anonymous, 0, anonymous_until, viewer)
  if lease > 0 then
    redis.call('PEXPIREAT', key, int(lease))
  else
    redis.call('DEL', key)
  end
  return change, first
end
