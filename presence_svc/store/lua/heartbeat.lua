-- EVALSHA heartbeat: records many heartbeats of one or more courses (S1-S3, S6-S8).
--
-- KEYS  agenda where; then per course: viewers places chapters anonymous state, and per heartbeat: viewer:V left:V
-- ARGV  publish interval ms, lease ms, lease ms when hidden, sessions per viewer, chapters per course, minute ms,
--       uniques, people, how many courses; then per course: how many heartbeats, negative = push its sets' expiry
--       on as well; and per heartbeat: V, "s:"..S, seq ("" = none, "+" = newer than all before), said, profile
--       where said = "flags digest chapter" is all of the statement that is neither time nor order,
--       and profile = avatar_url .. "\n" .. name, each may be empty; a name may hold a newline, an URL none
-- reply now; then per course: total, when a message is due (0 = none), and per heartbeat the end of its
--       session's lease, or 0 = the session has left (nothing changed), -1 = too many chapters, -2 = sessions;
--       after a seq of "+" a text: that, and the seq that it was given
--
-- Nearly every heartbeat only renews: its session says what it said before. That costs HGET, HSET, PEXPIREAT
-- and a share of two variadic ZADDs, and makes no table and formats no number; all else goes through settle().
-- To history and people a renewal is nothing.
--@include shared/time

local call, match, byte = redis.call, string.match, string.byte
local HIDDEN, ANONYMOUS = byte('h'), byte('a')
local agenda, now = KEYS[1], clock()
local now_text = int(now)

-- All leases that this call gives end at one of two moments; scores of places are made once per place.
local function lease_of(ttl)
  local ends = now + tonumber(ttl)
  local text = int(ends)
  return { ends = ends, text = text, limit = text .. '~', scores = {} }
end
local shown, hidden = lease_of(ARGV[2]), lease_of(ARGV[3])

-- Renewals of one course, gathered here and written by two or three variadic commands.
local viewers, places, anonymous, nv, np, na = {}, {}, {}, 0, 0, 0
local function flush(at)
  if nv > 0 then call('ZADD', KEYS[at], 'GT', unpack(viewers, 1, nv)) end
  if np > 0 then call('ZADD', KEYS[at + 1], 'GT', unpack(places, 1, np)) end
  if na > 0 then call('ZADD', KEYS[at + 3], 'GT', unpack(anonymous, 1, na)) end
  nv, np, na = 0, 0, 0
end

-- Made when it is first needed: to make as many functions in each call would cost as much as a renewal.
local slow
local function make_slow()
--@include shared/course
--@include shared/history
--@include shared/viewer
--@include shared/left
--@include shared/arrival
  return { course_at = course_at, decide = decide, conclude = conclude }
end

-- Changes nothing, but a Redis that is full refuses it here, before anything is half written.
call('ZADD', agenda, 'XX', 0, '')

local reply, k, a = { now }, 3, 10
for _ = 1, tonumber(ARGV[9]) do
  local at, n = k, tonumber(ARGV[a])
  local refresh, change, first_end = n < 0, false, nil
  local head = #reply
  n, k, a = math.abs(n), k + 5, a + 1
  reply[head + 1], reply[head + 2] = 0, 0
  for i = head + 3, head + 2 + n do
    local key, viewer, field, seq, said = KEYS[k], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
    local record = call('HGET', key, field)
    local lease = byte(said) == HIDDEN and hidden or shown
    local old_seq, place, was
    -- Leases are all of 13 digits at a record's start, so that texts compare as times do.
    if record and record > now_text and record < lease.limit then
      old_seq, place, was = match(record, '^%d+ (%-?%d+) (%d+) (.*)$')
    end
    if was == said and (seq == '' or (tonumber(seq) or -2) >= tonumber(old_seq)) then
      if seq == '' then seq = old_seq end
      call('HSET', key, field, lease.text .. ' ' .. seq .. ' ' .. place .. ' ' .. said)
      call('PEXPIREAT', key, lease.text, 'GT')
      viewers[nv + 1], viewers[nv + 2], nv = lease.text, viewer, nv + 2
      if place ~= '0' then
        local score = lease.scores[place]
        if not score then
          score = int(tonumber(place) * W + lease.ends)
          lease.scores[place] = score
        end
        places[np + 1], places[np + 2], np = score, place .. ' ' .. viewer, np + 2
      end
      if byte(said, 2) == ANONYMOUS then
        anonymous[na + 1], anonymous[na + 2], na = lease.text, viewer, na + 2
      end
      reply[i] = lease.ends
    else
      flush(at)
      slow = slow or make_slow()
      local ends, moved, first = slow.decide(slow.course_at(at), key, KEYS[k + 1], viewer, field, seq, said, ARGV[a + 4], record)
      reply[i] = ends
      if moved then change = true end
      if first and (not first_end or first < first_end) then first_end = first end
    end
    k, a = k + 2, a + 5
  end
  flush(at)
  if change or refresh or first_end then
    slow = slow or make_slow()
    reply[head + 2] = slow.conclude(slow.course_at(at), change, refresh, first_end)
  end
  reply[head + 1] = call('ZCOUNT', KEYS[at], '(' .. now_text, '+inf')
end
return reply
