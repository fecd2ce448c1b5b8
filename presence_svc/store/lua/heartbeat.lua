-- EVALSHA heartbeat: records many heartbeats of one or more courses (S1-S3, S6-S8).
--
-- KEYS  agenda; then per course: viewers places chapters anonymous state, and per heartbeat: viewer:V left:V
-- ARGV  publish interval ms, longest lease ms, sessions per viewer, chapters per course, how many courses;
--       then per course: id, channel, refresh (1 = push the sets' expiry on), how many heartbeats;
--       and per heartbeat: V, "s:"..S, lease ms, seq ("" = none), said, chapter ("" = none), name, avatar_url
--       where said = "flags digest chapter": all of the statement that is neither time nor order
-- reply now; then per course: total, when a message is due (0 = none), and per heartbeat the end of its
--       session's lease, or 0 = the session has left (nothing changed), -1 = too many chapters, -2 = sessions
--
-- Nearly every heartbeat only renews: its session says what it said before. That costs HGET, HSET, PEXPIREAT
-- and a share of two variadic ZADDs; everything else goes through settle().
--@include _course

local agenda = KEYS[1]
local interval, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local sessions_limit, chapters_limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clock()
local reply = { now }
local k, a = 2, 6

-- Forgets chapters in which nobody is; returns the places still taken and how many they are.
local function places_taken(c)
  local taken, n = {}, 0
  each_chapter(c, function(name, place)
    if redis.call('ZCOUNT', c.places, int(place * W), '(' .. int((place + 1) * W)) == 0 then
      redis.call('HDEL', c.chapters, name)
    else
      taken[place], n = true, n + 1
    end
  end)
  return taken, n
end

-- The place of a chapter, given out when it has none yet; nil at the limit.
local function place_for(c, chapter)
  local known = redis.call('HGET', c.chapters, chapter)
  if known then return tonumber(known) end
  local taken, n = places_taken(c)
  if n >= chapters_limit then return nil end
  local place = 1
  while taken[place] do place = place + 1 end
  redis.call('HSET', c.chapters, chapter, place)
  return place
end

local function live_sessions(key)
  local flat, n = redis.call('HGETALL', key), 0
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' and parse(flat[i + 1]) > now then n = n + 1 end
  end
  return n
end

-- Has this session left, as far as a heartbeat with this seq can tell? (S6)
local function has_left(left, session, seq)
  local mark = redis.call('HGET', left, session)
  return mark and (mark == '!' or (seq and seq < tonumber(mark)))
end

-- Renewals of one course, gathered and written by two or three variadic commands.
local viewers, places, anonymous = {}, {}, {}
local function flush(c)
  if #viewers > 0 then redis.call('ZADD', c.viewers, 'GT', unpack(viewers)) end
  if #places > 0 then redis.call('ZADD', c.places, 'GT', unpack(places)) end
  if #anonymous > 0 then redis.call('ZADD', c.anonymous, 'GT', unpack(anonymous)) end
  viewers, places, anonymous = {}, {}, {}
end

local function renew(h, lease, seq, place)
  local ends = int(lease)
  redis.call('HSET', h.key, h.field, ends .. ' ' .. seq .. ' ' .. place .. ' ' .. h.said)
  redis.call('PEXPIREAT', h.key, ends, 'GT')
  viewers[#viewers + 1], viewers[#viewers + 2] = ends, h.viewer
  if place > 0 then
    places[#places + 1], places[#places + 2] = int(place * W + lease), place .. ' ' .. h.viewer
  end
  if string.sub(h.said, 2, 2) == 'a' then
    anonymous[#anonymous + 1], anonymous[#anonymous + 2] = ends, h.viewer
  end
end

-- A session that is new, moves, hides, shows, renames or comes back. Returns the result and whether a count changed.
local function arrive(c, h, lease, seq, old_place)
  local place = 0
  if not old_place and redis.call('HLEN', h.key) >= sessions_limit and live_sessions(h.key) >= sessions_limit then
    return -2, false
  end
  if h.chapter ~= '' then
    place = place_for(c, h.chapter)
    if not place then return -1, false end
  end
  local since = tonumber(redis.call('ZSCORE', c.viewers, h.viewer) or false)
  if not since or since <= now then redis.call('DEL', h.key) end
  redis.call('HSETNX', h.key, 'joined_at', int(now))
  if string.sub(h.said, 2, 2) == 'a' then
    redis.call('HDEL', h.key, 'name', 'avatar_url')
  else
    if h.name ~= '' then redis.call('HSET', h.key, 'name', h.name) end
    if h.avatar ~= '' then redis.call('HSET', h.key, 'avatar_url', h.avatar) end
  end
  redis.call('HSET', h.key, h.field, int(lease) .. ' ' .. seq .. ' ' .. place .. ' ' .. h.said)
  return lease, (settle(c, h.viewer, h.key, now, { old_place or 0 }))
end

local function heartbeat(c, h)
  local record = redis.call('HGET', h.key, h.field)
  local lease, new_seq = now + h.ttl, h.seq or -1
  if not record then
    if has_left(h.left, string.sub(h.field, 3), h.seq) then return 0, false end
    flush(c)
    return arrive(c, h, lease, new_seq, nil)
  end
  local old_lease, old_seq, old_place, said = parse(record)
  if h.seq and h.seq < old_seq then return old_lease > now and old_lease or 0, false end
  if new_seq < old_seq then new_seq = old_seq end
  if said == h.said and old_lease > now and lease >= old_lease then
    renew(h, lease, new_seq, old_place)
    return lease, false
  end
  flush(c)
  return arrive(c, h, lease, new_seq, old_place)
end

for _ = 1, tonumber(ARGV[5]) do
  local c = course_at(k, ARGV[a])
  local channel, refresh, n = ARGV[a + 1], ARGV[a + 2] == '1', tonumber(ARGV[a + 3])
  local head, change, first_end = #reply, false, nil
  k, a = k + 5, a + 4
  reply[head + 2] = 0
  for i = 1, n do
    local h = {
      key = KEYS[k], left = KEYS[k + 1], viewer = ARGV[a], field = ARGV[a + 1], ttl = tonumber(ARGV[a + 2]),
      seq = tonumber(ARGV[a + 3]), said = ARGV[a + 4], chapter = ARGV[a + 5], name = ARGV[a + 6], avatar = ARGV[a + 7],
    }
    k, a = k + 2, a + 8
    local ends, moved = heartbeat(c, h)
    reply[head + 2 + i] = ends
    if moved then change = true end
    if ends > 0 and (not first_end or ends < first_end) then first_end = ends end
  end
  flush(c)
  if change or refresh then keep(c, now, longest) end
  if change then
    redis.call('ZADD', agenda, 'LT', int(first_end), c.id)
    reply[head + 2] = changed(c, now, interval, agenda, channel)
  end
  reply[head + 1] = alive_in(c.viewers, now)
end
return reply
