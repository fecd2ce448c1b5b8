-- EVAL take_over: viewers take over sessions: anonymous viewer A's session S is viewer V's from now on (S1, S6-S8).
--
-- KEYS  agenda where; then per session: viewers places chapters anonymous state viewer:A left:A viewer:V left:V
-- ARGV  publish interval ms, how long a leave is remembered ms, sessions per viewer, minute ms, uniques, people,
--       how many sessions; then per session: A, V, S, seq of V's heartbeat ("" = none), and "a" if V is anonymous
--       to others, else "-"
-- reply now; then per session: when a message is due (0 = none)
--
-- Runs before the heartbeat by which V takes over the session, so that the person is never missing and never counted
-- twice: the total stays. It falls only if V was already counted by another session, because then it was one too high.
-- A's session ends even if V may not have it (has left it for good, or has too many): it is the same session of the
-- same browser. But if A has sent something later than V's heartbeat (by seq), that heartbeat is late and ignored.
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/viewer
--@include shared/left

local agenda, interval, memory = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local sessions_limit = tonumber(ARGV[3])
set_up_history(ARGV[4], ARGV[5], ARGV[6], KEYS[2])
local now = clock()
local reply = { now }

-- Whether V may take over this session and does not have it yet.
local function may_take(target, session, seq)
  local record = redis.call('HGET', target.key, 's:' .. session)
  if record and parse_record(record) > now then return false end
  if is_evicted(target.left, now) or has_left(target.left, session, seq) then return false end
  return not is_at_session_limit(target.key, now, sessions_limit)
end

-- The session keeps its lease, seq, place and hidden flag; name and picture come with V's heartbeat.
local function take(c, target, session, record, joined_at)
  local present_until = tonumber(redis.call('ZSCORE', c.viewers, target.viewer) or false)
  if not present_until or present_until <= now then redis.call('DEL', target.key) end
  redis.call('HSETNX', target.key, 'joined_at', joined_at)
  for _, field in ipairs(target.flag == 'a' and { 'name', 'avatar_url' } or {}) do
    local value = redis.call('HGET', target.key, field)
    if value then redis.call('HSET', target.key, 'hidden_' .. field, value) end
    redis.call('HDEL', target.key, field)
  end
  local shared, chapter = string.match(record, '^(%d+ %-?%d+ %d+ .). %S+ (.*)$')
  redis.call('HSET', target.key, 's:' .. session, shared .. target.flag .. ' - ' .. chapter)
  sync_viewer(c, target.viewer, target.key, now, {})
end

-- V is added before A is removed: a set in which A is alone must not become empty, be deleted and lose its expiry. The
-- agenda already has the end of A's lease, which is V's now. A message is due because `named` has changed. For history
-- at no moment are both present: the peak is counted after A has been removed.
local function take_over(c, source, target, session, seq, record)
  c.is_swap, c.swaps = true, {}
  if may_take(target, session, seq) then
    take(c, target, session, record, redis.call('HGET', source.key, 'joined_at') or int(now))
  end
  redis.call('HDEL', source.key, 's:' .. session)
  local _, _, place, status = parse_record(record)
  sync_viewer(c, source.viewer, source.key, now, { [place] = chapter_in(status) })
  for chapter, at in pairs(c.swaps) do record_event(c, chapter, minute_of(now), 0, 0, peak_of(c, at, now)) end
  if minute_ms > 0 and has_uniques and not redis.call('ZSCORE', c.viewers, source.viewer) then
    redis.call('ZREM', c.places, uniques_member(day_of(minute_of(now)), source.viewer))
  end
  return publish_or_schedule(c, now, interval, agenda)
end

for i = 1, tonumber(ARGV[7]) do
  local k, a = 3 + (i - 1) * 9, 8 + (i - 1) * 5
  local source = { key = KEYS[k + 5], left = KEYS[k + 6], viewer = ARGV[a] }
  local target = { key = KEYS[k + 7], left = KEYS[k + 8], viewer = ARGV[a + 1], flag = ARGV[a + 4] }
  local session, seq = ARGV[a + 2], tonumber(ARGV[a + 3])
  local record = redis.call('HGET', source.key, 's:' .. session)
  local lease, last_seq = 0, -1
  if record then lease, last_seq = parse_record(record) end
  reply[i + 1] = 0
  if lease > now and seq and seq < last_seq then
    remember(target.left, session, int(last_seq), memory)
  else
    if seq or lease > now then remember(source.left, session, seq and int(seq) or '!', memory) end
    if lease > now then reply[i + 1] = take_over(course_at(k), source, target, session, seq, record) end
  end
end
return reply
