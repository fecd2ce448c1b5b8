-- Shared with heartbeat alone: whatever is not a plain renewal.
-- Needs time, course, history, viewer and left, and what heartbeat reads from its ARGV.

local VACATED = 1000
local interval, sessions_limit, chapters_limit = tonumber(ARGV[1]), tonumber(ARGV[4]), tonumber(ARGV[5])
local longest = math.max(tonumber(ARGV[2]), tonumber(ARGV[3]))
keep_books(ARGV[6], ARGV[7], ARGV[8], KEYS[2])

-- The places of a course as this call found them, read once however many chapters are new: n are taken, all
-- below `free` are among them, `lapsed` are those whose viewers have all lapsed. Forgets chapters without viewers.
local registers = {}
local function places_of(c)
  local book = registers[c.state] or { taken = {}, n = 0, free = 1, lapsed = {} }
  if registers[c.state] then return book end
  registers[c.state] = book
  each_chapter(c, function(name, place)
    if call('ZCOUNT', c.places, int(place * W), '(' .. int((place + 1) * W)) == 0 then
      call('HDEL', c.chapters, name)
    else
      book.taken[place], book.n = true, book.n + 1
      if in_place(c, place, now) == 0 then book.lapsed[#book.lapsed + 1] = { name = name, place = place } end
    end
  end)
  return book
end

-- A chapter's lapsed viewers leave its place to another: their ends are its own. False when they are too many for
-- one call, or some are alive; then the place stays.
local function vacate(c, old)
  if in_place(c, old.place, now) > 0 then return false end
  local low, high = int(old.place * W), '(' .. int((old.place + 1) * W)
  if minute_ms > 0 then
    if call('ZCOUNT', c.places, low, high) > VACATED then return false end
    local flat = call('ZRANGEBYSCORE', c.places, low, high, 'WITHSCORES')
    for i = 1, #flat, 2 do went(c, old.name, '', flat[i + 1] - old.place * W) end
    if #flat > 0 then call('ZREMRANGEBYSCORE', c.places, low, high) end
  end
  call('HDEL', c.chapters, old.name)
  return true
end

-- The place of a chapter, given out when it has none yet; nil at the limit. There a chapter whose viewers have
-- lapsed gives its place up, and the next sweep clears it. The anonymous reach the limit at half of the places:
-- whoever makes up chapters without showing who they are leaves the others room.
local function place_for(c, chapter, said)
  local known = call('HGET', c.chapters, chapter)
  if known then return tonumber(known) end
  local book, place, room = places_of(c), nil, chapters_limit
  if byte(said, 2) == ANONYMOUS then room = math.ceil(room / 2) end
  if book.n < room then
    while book.taken[book.free] do book.free = book.free + 1 end
    place = book.free
    book.taken[place], book.n = true, book.n + 1
  else
    local old
    repeat old = table.remove(book.lapsed) until not old or vacate(c, old)
    if not old then return nil end
    place = old.place
  end
  call('HSET', c.chapters, chapter, place)
  return place
end

-- Is this viewer somebody by another session than this?
local function is_named_beside(key, own)
  local flat = call('HGETALL', key)
  for i = 1, #flat, 2 do
    if string.sub(flat[i], 1, 2) == 's:' and flat[i] ~= own then
      local lease, _, _, said = parse(flat[i + 1])
      if lease > now and byte(said, 2) ~= ANONYMOUS then return true end
    end
  end
  return false
end

-- Who turns anonymous has no name any more; but while they are named in another session, it waits under another
-- name for the anonymous one to go.
local function hide(key, own)
  local said = call('HMGET', key, 'name', 'avatar_url')
  if not said[1] and not said[2] then return end
  if is_named_beside(key, own) then
    if said[1] then call('HSET', key, 'hidden_name', said[1]) end
    if said[2] then call('HSET', key, 'hidden_avatar_url', said[2]) end
  end
  call('HDEL', key, 'name', 'avatar_url')
end

local function show(key, field, said)
  if said == '' then said = call('HGET', key, 'hidden_' .. field) end
  if said then call('HSET', key, field, said) end
  call('HDEL', key, 'hidden_' .. field)
end

local function describe(key, own, said, profile)
  if byte(said, 2) == ANONYMOUS then
    hide(key, own)
    return
  end
  local avatar, name = match(profile, '^([^\n]*)\n(.*)$')
  show(key, 'name', name)
  show(key, 'avatar_url', avatar)
end

-- A session that is new, moves, hides, shows, renames or comes back. Returns the result, whether
-- a count changed, and when to look again.
local function arrive(c, key, viewer, field, lease, seq, said, profile, was, alive)
  if not alive and is_full(key, now, sessions_limit) then return -2, false end
  local chapter, place = chapter_in(said), 0
  if chapter ~= '' then
    place = place_for(c, chapter, said)
    if not place then return -1, false end
  end
  local there_until = tonumber(call('ZSCORE', c.viewers, viewer) or false)
  if not there_until or there_until <= now then call('DEL', key) end
  call('HSETNX', key, 'joined_at', now_text)
  describe(key, field, said, profile)
  call('HSET', key, field, lease.text .. ' ' .. int(seq) .. ' ' .. place .. ' ' .. said)
  return lease.ends, settle(c, viewer, key, now, was)
end

-- The seq of a session that begins anew, however it ended before: newer than all that it may still have said.
local function renew(left, session, old_seq)
  local mark = call('HGET', left, session)
  if mark then call('HDEL', left, session) end
  return math.max((old_seq or -1) + 1, (tonumber(mark) or -1) + 1, now)
end

-- What is not a plain renewal. A lapsed session may come back with any seq, as if its record had gone with it:
-- whether it has depends on the viewer's other sessions alone.
local function decide(c, key, left, viewer, field, seq, said, profile, record)
  local lease, new_seq = byte(said) == HIDDEN and hidden or shown, tonumber(seq) or -1
  local was, old_seq, alive = {}, nil, false
  if record then
    local old_lease
    local old_place, old_said
    old_lease, old_seq, old_place, old_said = parse(record)
    was[old_place] = chapter_in(old_said)
    alive = old_lease > now
    if alive then
      if tonumber(seq) and new_seq < old_seq then return old_lease, false end
      new_seq = math.max(new_seq, old_seq)
    end
  end
  if not alive and is_evicted(left, now) then return 0, false end
  if seq == '+' then
    new_seq = renew(left, string.sub(field, 3), old_seq)
  elseif not alive and has_left(left, string.sub(field, 3), tonumber(seq)) then
    return 0, false
  end
  local ends, moved, first = arrive(c, key, viewer, field, lease, new_seq, said, profile, was, alive)
  if seq == '+' and ends > 0 then ends = int(ends) .. ' ' .. int(new_seq) end
  return ends, moved, first
end

-- What follows from all heartbeats of a course. Returns when a message is due, 0 for none.
local function conclude(c, change, refresh, first_end)
  if change or refresh then keep(c, now, longest) end
  if first_end then call('ZADD', agenda, 'LT', int(first_end), id_of(c)) end
  return change and changed(c, now, interval, agenda) or 0
end
