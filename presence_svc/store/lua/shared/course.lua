-- A course's keys, counts, messages and expiry. Needs time.
-- A course is passed as five KEYS, in the order of keys.CourseKeys. Times are ms by Redis's own clock (S3).

-- How long the state of an empty course is kept: longer than any lease, and than a quarter of history is open.
local EMPTY = 1800000

-- What this call has done so far, as a number of commands: about 30 for a viewer, and more with many chapters. Scripts
-- that do as much as they are asked for stop when it is used up, and are called again for the rest: 4,000 take Redis
-- 6 to 9 ms (R12).
local BUDGET, VIEWER, MESSAGE, CHAPTER = 4000, 30, 10, 3
local spent = 0
local function is_spent() return spent >= BUDGET end

local function course_at(i)
  return {
    viewers = KEYS[i], places = KEYS[i + 1], chapters = KEYS[i + 2], anonymous = KEYS[i + 3], state = KEYS[i + 4],
  }
end

-- The course id is part of "P:{C}:viewers", on a Cluster "P:{T}:C:viewers" (ids contain no braces), and the channel
-- differs from it in the ending only: "P:{C}:changes". So a sharded channel is in the slot of the course's keys.
local PUBLISH = 'PUBLISH' -- or 'SPUBLISH': scripts.py
local function id_of(c)
  c.id = c.id or string.match(c.viewers, '{([^}]*)}:viewers$') or string.match(c.viewers, '}:(.*):viewers$')
  return c.id
end
local function channel_of(c) return string.sub(c.viewers, 1, -8) .. 'changes' end

local function count_alive(zset, now) return redis.call('ZCOUNT', zset, '(' .. int(now), '+inf') end

local function count_in_place(c, place, now)
  return redis.call('ZCOUNT', c.places, '(' .. int(place * W + now), '(' .. int((place + 1) * W))
end

-- Calls each(chapter, place) for every known chapter, sorted, so that equal states give equal messages.
local function each_chapter(c, each)
  local flat = redis.call('HGETALL', c.chapters)
  local names, chapter_places = {}, {}
  for i = 1, #flat, 2 do
    names[#names + 1] = flat[i]
    chapter_places[flat[i]] = tonumber(flat[i + 1])
  end
  table.sort(names)
  spent = spent + math.min(CHAPTER * #names, BUDGET / 2) -- never so much that only one viewer fits into each call
  for _, name in ipairs(names) do each(name, chapter_places[name]) end
end

local function publish(c, now, version)
  spent = spent + MESSAGE
  local total, anonymous = count_alive(c.viewers, now), count_alive(c.anonymous, now)
  local chapters = {}
  each_chapter(c, function(name, place)
    local n = count_in_place(c, place, now)
    if n > 0 then chapters[#chapters + 1] = '"' .. name .. '":' .. n end
  end)
  -- Ids contain nothing that JSON would escape (model.ID_PATTERN), so that this is safe without cjson.
  redis.call(PUBLISH, channel_of(c), '{"type":"count","course_id":"' .. id_of(c) .. '","total":' .. total
    .. ',"named":' .. (total - anonymous) .. ',"anonymous":' .. anonymous
    .. ',"chapters":{' .. table.concat(chapters, ',') .. '},"version":' .. int(version)
    .. ',"as_of":' .. int(now) .. '}')
  redis.call('HSET', c.state, 'version', int(version), 'published', int(now), 'told', total)
  redis.call('HDEL', c.state, 'dirty')
  redis.call('PEXPIRE', c.state, total > 0 and DAY or EMPTY)
end

-- A count has changed: publishes at once, or schedules the message for the end of the interval (S8). Returns when
-- the message is due, 0 if it was published. Only messages increase the version: many changes within an interval
-- must not make versions run ahead of the clock, because they begin at the clock again when Redis restarts empty.
local function publish_or_schedule(c, now, interval, agenda)
  local state = redis.call('HMGET', c.state, 'version', 'published')
  local version = tonumber(state[1]) or 0
  local published = tonumber(state[2]) or 0
  local due = published + interval
  if published > now or due <= now then
    publish(c, now, math.max(version + 1, now))
    return 0
  end
  redis.call('HSET', c.state, 'version', int(math.max(version, now)), 'dirty', int(due))
  redis.call('PEXPIRE', c.state, DAY)
  redis.call('ZADD', agenda, 'LT', int(due), id_of(c))
  return due
end

-- A full Redis refuses a script at its first write, unless that write frees memory. Removing nothing counts as such a
-- write, so that scripts that free memory, leaves and sweeps, can run.
local function pass_memory_check(agenda) redis.call('ZREM', agenda, '') end

-- A course's sets expire half a lease after its longest possible lease, so that not every renewal has to extend them.
local function extend_expiry(c, now, longest)
  local at = int(math.floor(now + longest * 1.5))
  redis.call('PEXPIREAT', c.viewers, at)
  redis.call('PEXPIREAT', c.places, at)
  redis.call('PEXPIREAT', c.chapters, at)
  redis.call('PEXPIREAT', c.anonymous, at)
end
