-- Shared by the scripts that name it: a course's keys, its count, its changes and a viewer's standing.
-- Needs time. A course is passed as five KEYS in the order of keys.CourseKeys. Times are ms by Redis's own clock (S3).

local EMPTY = 600000 -- how long the state of a course is kept that nobody is in: longer than any lease

local function course_at(i)
  return {
    viewers = KEYS[i], places = KEYS[i + 1], chapters = KEYS[i + 2], anonymous = KEYS[i + 3], state = KEYS[i + 4],
  }
end

-- "P:{C}:viewers", on a Cluster "P:{T}:C:viewers", says which course it is (ids hold no braces), and its channel
-- is its sibling "P:{C}:changes". Sharded, the channel is in the slot of the course's keys.
local PUBLISH = 'PUBLISH' -- or 'SPUBLISH': scripts.py
local function id_of(c)
  return string.match(c.viewers, '{([^}]*)}:viewers$') or string.match(c.viewers, '}:(.*):viewers$')
end
local function channel_of(c) return string.sub(c.viewers, 1, -8) .. 'changes' end

local function alive_in(zset, now) return redis.call('ZCOUNT', zset, '(' .. int(now), '+inf') end

local function in_place(c, place, now)
  return redis.call('ZCOUNT', c.places, '(' .. int(place * W + now), '(' .. int((place + 1) * W))
end

-- Calls each(chapter, place) for the chapters on record, sorted, so that equal states read equal.
local function each_chapter(c, each)
  local flat = redis.call('HGETALL', c.chapters)
  local names, place_of = {}, {}
  for i = 1, #flat, 2 do
    names[#names + 1] = flat[i]
    place_of[flat[i]] = tonumber(flat[i + 1])
  end
  table.sort(names)
  for _, name in ipairs(names) do each(name, place_of[name]) end
end

local function publish(c, now, version)
  local total, anonymous = alive_in(c.viewers, now), alive_in(c.anonymous, now)
  local chapters = {}
  each_chapter(c, function(name, place)
    local n = in_place(c, place, now)
    if n > 0 then chapters[#chapters + 1] = '"' .. name .. '":' .. n end
  end)
  -- Ids hold nothing that JSON would escape (model.ID_PATTERN), so this is safe and needs no cjson.
  redis.call(PUBLISH, channel_of(c), '{"type":"count","course_id":"' .. id_of(c) .. '","total":' .. total
    .. ',"named":' .. (total - anonymous) .. ',"anonymous":' .. anonymous
    .. ',"chapters":{' .. table.concat(chapters, ',') .. '},"version":' .. int(version)
    .. ',"as_of":' .. int(now) .. '}')
  redis.call('HSET', c.state, 'version', int(version), 'published', int(now), 'told', total)
  redis.call('HDEL', c.state, 'dirty')
  redis.call('PEXPIRE', c.state, total > 0 and DAY or EMPTY)
end

-- Something that counts has changed: publish at once, or when the interval is over (S8).
-- Returns when a message is due, 0 when it has gone out. Only messages take numbers of their own: a storm of
-- changes within an interval must not run ahead of the clock, for after a restart versions begin at the clock.
local function changed(c, now, interval, agenda)
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

-- A full Redis refuses a script whose first write may need memory. Removing nothing needs none, and lets those
-- who make room go on: leaves and sweeps.
local function make_way(agenda) redis.call('ZREM', agenda, '') end

-- The sets of a course outlive its longest lease by half: renewals need not touch their expiry each time.
local function keep(c, now, longest)
  local at = int(now + longest * 1.5)
  redis.call('PEXPIREAT', c.viewers, at)
  redis.call('PEXPIREAT', c.places, at)
  redis.call('PEXPIREAT', c.chapters, at)
  redis.call('PEXPIREAT', c.anonymous, at)
end
