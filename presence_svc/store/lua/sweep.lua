-- EVALSHA sweep: removes what has expired from one course, publishes what is due, says when to look again (S8, S9).
--
-- KEYS  agenda viewers places chapters anonymous state
-- ARGV  publish interval ms, how many members to remove at most, from all sets together, longest lease ms
-- reply how many viewers were removed, when to look again (ms; 0 = nobody is left)
--
-- Idempotent: any number of replicas may sweep at once, each expiry is removed and published by one of them.
-- Bounded: a purge of a million viewers is many short calls, between which heartbeats run.
--@include _course

local interval, room = tonumber(ARGV[1]), tonumber(ARGV[2])
local agenda, now = KEYS[1], clock()
local c = course_at(2)
local more = false
make_way(agenda)

-- Removes the lowest scores from `low` (excluded) up to `high`; returns how many.
local function remove(zset, low, high)
  local n = redis.call('ZCOUNT', zset, low, high)
  if n > room then n, more = room, true end
  if n == 0 then return 0 end
  room = room - n
  local first = low == '-inf' and 0 or redis.call('ZCOUNT', zset, '-inf', string.sub(low, 2))
  return redis.call('ZREMRANGEBYRANK', zset, first, first + n - 1)
end

-- Redis's clock was set back: leases of before it reach beyond any that can be given now. They are cut to the longest,
-- which bounds how long a ghost can stay; who is there renews theirs.
local function cut(zset, base, top)
  local ends = int(base + now + tonumber(ARGV[3]))
  local beyond = redis.call('ZRANGEBYSCORE', zset, '(' .. ends, top, 'LIMIT', 0, room)
  for _, member in ipairs(beyond) do redis.call('ZADD', zset, ends, member) end
  room = room - #beyond
  if #beyond > 0 and room == 0 then more = true end
end

-- The next lease end at or after `low`, below `high`; nil when there is none.
local function first_end(zset, low, high)
  local found = redis.call('ZRANGEBYSCORE', zset, low, high, 'WITHSCORES', 'LIMIT', 0, 1)
  return tonumber(found[2] or false)
end

cut(c.viewers, 0, '+inf')
cut(c.anonymous, 0, '+inf')
local gone = remove(c.viewers, '-inf', int(now))
local removed = gone + remove(c.anonymous, '-inf', int(now))
local look = first_end(c.viewers, '-inf', '+inf')
local named_at = first_end(c.anonymous, '-inf', '+inf')
if look and named_at and named_at < look then look = named_at end
local occupied = 0
each_chapter(c, function(name, place)
  cut(c.places, place * W, '(' .. int((place + 1) * W))
  removed = removed + remove(c.places, '(' .. int(place * W), int(place * W + now))
  local ends = first_end(c.places, '(' .. int(place * W), '(' .. int((place + 1) * W))
  if not ends then
    redis.call('HDEL', c.chapters, name)
  else
    occupied = occupied + 1
    if not look or ends - place * W < look then look = ends - place * W end
  end
end)
if occupied > 0 or look then keep(c, now, tonumber(ARGV[3])) end

local due = tonumber(redis.call('HGET', c.state, 'dirty') or 0)
-- Unswept for long, the sets have expired by themselves: the last message still names those who were in them.
local unsaid = not look and tonumber(redis.call('HGET', c.state, 'told') or 0) > 0
if removed > 0 or (unsaid and due == 0) then
  due = changed(c, now, interval, agenda)
elseif due > 0 and due <= now then
  publish(c, now, math.max(tonumber(redis.call('HGET', c.state, 'version') or 0) + 1, now))
  due = 0
end
if more then look = now end
if due > 0 and (not look or due < look) then look = due end
if look then
  redis.call('ZADD', agenda, int(look), id_of(c))
else
  redis.call('ZREM', agenda, id_of(c))
end
return { gone, look or 0 }
