-- EVALSHA heartbeat: records many heartbeats of one or more courses (S1-S3, S6-S8).
--
-- KEYS  agenda where; then per course: viewers places chapters anonymous state, and per heartbeat: viewer:V left:V
-- ARGV  publish interval ms, lease ms, lease ms when hidden, sessions per viewer, chapters per course, minute ms,
--       uniques, people, how many courses; then per course: how many heartbeats, negative = push its sets' expiry
--       on as well; and per heartbeat: V, "s:"..S, seq ("" = none, "+" = newer than all before), status, profile
--       where status = "flags digest chapter" is what the session reports about itself, without seq and time,
--       and profile = avatar_url .. "\n" .. name, each may be empty; a name may contain a newline, a URL may not
-- reply now; then per course: total, when a message is due (0 = none), and per heartbeat the end of its
--       session's lease, or 0 = the session has left (nothing changed), -1 = too many chapters, -2 = too many
--       sessions; for a seq of "+" a text: the end of the lease, and the seq that was assigned.
--       The reply ends early, also within a course, once the budget of this call is used up: to be called again for
--       the heartbeats that are not in it
--
-- Nearly every heartbeat is a plain renewal: its status equals the stored one. That costs HGET, HSET, PEXPIREAT and a
-- share of two variadic ZADDs, without building a table or formatting a number. Everything else takes the slow
-- path, and only that uses up the budget. A renewal is no event for history or people.
--@include shared/time

local call, match, byte = redis.call, string.match, string.byte
local HIDDEN, ANONYMOUS = byte('h'), byte('a')
local agenda, now = KEYS[1], clock()
local now_text = int(now)

-- All leases granted in this call end at one of two moments, so that the score of a place is formatted once.
local function lease_of(ttl)
  local ends = now + tonumber(ttl)
  local text = int(ends)
  return { ends = ends, text = text, limit = text .. '~', scores = {} }
end
local shown, hidden = lease_of(ARGV[2]), lease_of(ARGV[3])

-- The renewals of one course are collected here and written by two or three variadic commands.
local viewers, places, anonymous, nv, np, na = {}, {}, {}, 0, 0, 0
local function flush(at)
  if nv > 0 then call('ZADD', KEYS[at], 'GT', unpack(viewers, 1, nv)) end
  if np > 0 then call('ZADD', KEYS[at + 1], 'GT', unpack(places, 1, np)) end
  if na > 0 then call('ZADD', KEYS[at + 3], 'GT', unpack(anonymous, 1, na)) end
  nv, np, na = 0, 0, 0
end

-- Defined only when first needed: defining so many functions in each call would cost as much as a renewal.
local slow
local function make_slow()
--@include shared/course
--@include shared/history
--@include shared/viewer
--@include shared/left
--@include shared/arrival
  return { course_at = course_at, decide = decide, finish_course = finish_course, is_spent = is_spent }
end

-- Changes nothing, but a full Redis refuses the script here, before anything is half written.
call('ZADD', agenda, 'XX', 0, '')

local reply, k, a = { now }, 3, 10
for _ = 1, tonumber(ARGV[9]) do
  local at, n = k, tonumber(ARGV[a])
  local refresh, change, first_end = n < 0, false, nil
  local head = #reply
  n, k, a = math.abs(n), k + 5, a + 1
  reply[head + 1], reply[head + 2] = 0, 0
  for i = head + 3, head + 2 + n do
    local key, viewer, field, seq, status = KEYS[k], ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
    local record = call('HGET', key, field)
    local lease = byte(status) == HIDDEN and hidden or shown
    local old_seq, place, old_status
    -- A record begins with its lease, which always has 13 digits, so that comparing texts compares times.
    if record and record > now_text and record < lease.limit then
      old_seq, place, old_status = match(record, '^%d+ (%-?%d+) (%d+) (.*)$')
    end
    if old_status == status and (seq == '' or (tonumber(seq) or -2) >= tonumber(old_seq)) then
      if seq == '' then seq = old_seq end
      call('HSET', key, field, lease.text .. ' ' .. seq .. ' ' .. place .. ' ' .. status)
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
      if byte(status, 2) == ANONYMOUS then
        anonymous[na + 1], anonymous[na + 2], na = lease.text, viewer, na + 2
      end
      reply[i] = lease.ends
    else
      flush(at)
      slow = slow or make_slow()
      local c, left, profile = slow.course_at(at), KEYS[k + 1], ARGV[a + 4]
      local ends, moved, first = slow.decide(c, key, left, viewer, field, seq, status, profile, record)
      reply[i] = ends
      if moved then change = true end
      if first and (not first_end or first < first_end) then first_end = first end
      if slow.is_spent() then break end
    end
    k, a = k + 2, a + 5
  end
  flush(at)
  if change or refresh or first_end then
    slow = slow or make_slow()
    reply[head + 2] = slow.finish_course(slow.course_at(at), change, refresh, first_end)
  end
  reply[head + 1] = call('ZCOUNT', KEYS[at], '(' .. now_text, '+inf')
  if slow and slow.is_spent() then break end
end
return reply
