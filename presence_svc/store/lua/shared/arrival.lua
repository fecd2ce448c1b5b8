-- The slow path of heartbeat.lua: everything that is not a plain renewal.
-- Needs time, course, history, viewer and left, and the variables that heartbeat reads from its ARGV.

local MAX_FREED = 1000
local interval, sessions_limit, chapters_limit = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
local longest = math.max(tonumber(ARGV[2]), tonumber(ARGV[3]))
set_up_history(ARGV[6], ARGV[7], ARGV[8], KEYS[2])

-- A course's places, read once per call: `taken` are in use, `n` of them, and so are all below `free`; `lapsed` are
-- those in which every lease has ended. Chapters that have no viewers are deleted on the way.
local place_tables = {}
local function place_table(c)
  local places = place_tables[c.state]
  if places then return places end
  places = { taken = {}, n = 0, free = 1, lapsed = {} }
  place_tables[c.state] = places
  each_chapter(c, function(name, place)
    if call('ZCOUNT', c.places, int(place * W), '(' .. int((place + 1) * W)) == 0 then
      call('HDEL', c.chapters, name)
    else
      places.taken[place], places.n = true, places.n + 1
      if count_in_place(c, place, now) == 0 then places.lapsed[#places.lapsed + 1] = { name = name, place = place } end
    end
  end)
  return places
end

-- Frees the place of a chapter whose leases have all ended, and records these ends as that chapter's. False if one
-- is alive after all, or if there are too many for one call; then the place is not free.
local function free_place(c, old)
  if count_in_place(c, old.place, now) > 0 then return false end
  local low, high = int(old.place * W), '(' .. int((old.place + 1) * W)
  if minute_ms > 0 then
    if call('ZCOUNT', c.places, low, high) > MAX_FREED then return false end
    local flat = call('ZRANGEBYSCORE', c.places, low, high, 'WITHSCORES')
    spent = spent + #flat
    for i = 1, #flat, 2 do record_end(c, old.name, '', flat[i + 1] - old.place * W) end
    if #flat > 0 then call('ZREMRANGEBYSCORE', c.places, low, high) end
  end
  call('HDEL', c.chapters, old.name)
  return true
end

-- The place of a chapter, which is assigned now if it has none; nil at the limit, unless a chapter without live viewers
-- can give up its place. For anonymous viewers half of the places are the limit, so that somebody who makes up
-- chapters without identifying themselves cannot use up all of them.
local function assign_place(c, chapter, status)
  local known = call('HGET', c.chapters, chapter)
  if known then return tonumber(known) end
  local places, place, limit = place_table(c), nil, chapters_limit
  if byte(status, 2) == ANONYMOUS then limit = math.ceil(limit / 2) end
  if places.n < limit then
    while places.taken[places.free] do places.free = places.free + 1 end
    place = places.free
    places.taken[place], places.n = true, places.n + 1
  else
    local old
    repeat old = table.remove(places.lapsed) until not old or free_place(c, old)
    if not old then return nil end
    place = old.place
  end
  call('HSET', c.chapters, chapter, place)
  return place
end

-- Whether another session of this viewer than this one shows their name.
local function is_named_elsewhere(key, own)
  local flat = fields_of(key)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' and flat[i] ~= own then
      local lease, _, _, status = parse_record(flat[i + 1])
      if lease > now and byte(status, 2) ~= ANONYMOUS then return true end
    end
  end
  return false
end

-- A viewer who becomes anonymous loses name and picture. While another session of theirs is named, these are kept in
-- hidden_* fields until the anonymous session is over.
local function hide_profile(key, own)
  local stored = call('HMGET', key, 'name', 'avatar_url')
  if not stored[1] and not stored[2] then return end
  if is_named_elsewhere(key, own) then
    if stored[1] then call('HSET', key, 'hidden_name', stored[1]) end
    if stored[2] then call('HSET', key, 'hidden_avatar_url', stored[2]) end
  end
  call('HDEL', key, 'name', 'avatar_url')
end

local function show_field(key, field, value)
  if value == '' then value = call('HGET', key, 'hidden_' .. field) end
  if value then call('HSET', key, field, value) end
  call('HDEL', key, 'hidden_' .. field)
end

local function store_profile(key, own, status, profile)
  if byte(status, 2) == ANONYMOUS then
    hide_profile(key, own)
    return
  end
  local avatar, name = match(profile, '^([^\n]*)\n(.*)$')
  show_field(key, 'name', name)
  show_field(key, 'avatar_url', avatar)
end

-- Records a session that is new, has returned, or has changed chapter, visibility or profile. Returns the result,
-- whether a count has changed, and when the course is due.
local function arrive(c, key, viewer, field, lease, seq, status, profile, former, alive)
  if not alive and is_at_session_limit(key, now, sessions_limit) then return -2, false end
  local chapter, place = chapter_in(status), 0
  if chapter ~= '' then
    place = assign_place(c, chapter, status)
    if not place then return -1, false end
  end
  local present_until = tonumber(call('ZSCORE', c.viewers, viewer) or false)
  if not present_until or present_until <= now then call('DEL', key) end
  call('HSETNX', key, 'joined_at', now_text)
  store_profile(key, field, status, profile)
  call('HSET', key, field, lease.text .. ' ' .. int(seq) .. ' ' .. place .. ' ' .. status)
  return lease.ends, sync_viewer(c, viewer, key, now, former)
end

-- The seq of a session that starts over: newer than anything that it may have sent before.
local function next_seq(left, session, old_seq)
  local mark = call('HGET', left, session)
  if mark then call('HDEL', left, session) end
  return math.max((old_seq or -1) + 1, (tonumber(mark) or -1) + 1, now)
end

-- Judges a heartbeat that is not a plain renewal. A session whose lease has ended may return with any seq, whether or
-- not its record still exists: that depends only on the viewer's other sessions.
local function decide(c, key, left, viewer, field, seq, status, profile, record)
  local lease, new_seq = byte(status) == HIDDEN and hidden or shown, tonumber(seq) or -1
  local former, old_seq, alive = {}, nil, false
  if record then
    local old_lease
    local old_place, old_status
    old_lease, old_seq, old_place, old_status = parse_record(record)
    former[old_place] = chapter_in(old_status)
    alive = old_lease > now
    if alive then
      if tonumber(seq) and new_seq < old_seq then return old_lease, false end
      new_seq = math.max(new_seq, old_seq)
    end
  end
  if not alive and is_evicted(left, now) then return 0, false end
  if seq == '+' then
    new_seq = next_seq(left, string.sub(field, 3), old_seq)
  elseif not alive and has_left(left, string.sub(field, 3), tonumber(seq)) then
    return 0, false
  end
  local ends, moved, first = arrive(c, key, viewer, field, lease, new_seq, status, profile, former, alive)
  if seq == '+' and ends > 0 then ends = int(ends) .. ' ' .. int(new_seq) end
  return ends, moved, first
end

-- Called once per course after its heartbeats. Returns when a message is due, 0 = none.
local function finish_course(c, change, refresh, first_end)
  if change or refresh then extend_expiry(c, now, longest) end
  if first_end then call('ZADD', agenda, 'LT', int(first_end), id_of(c)) end
  return change and publish_or_schedule(c, now, interval, agenda) or 0
end
