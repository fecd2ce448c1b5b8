-- EVAL take_over: viewers take sessions over: anonymous viewer A's session S is viewer V's from now on (S1, S6-S8).
--
-- KEYS  agenda where; then per session: viewers places chapters anonymous state viewer:A left:A viewer:V left:V
-- ARGV  publish interval ms, how long a leave is remembered ms, sessions per viewer, minute ms, uniques, people,
--       how many sessions; then per session: A, V, S, seq of V's heartbeat ("" = none), who V is to others:
--       "a" = nobody, "-" = V
-- reply now; then per session: when a message is due (0 = none)
--
-- Runs before the heartbeat by which V takes the session over, so that one person is neither missing nor two:
-- the total stays. It falls only where V was counted already, by another session: then there were one too many.
-- A's session ends also when V may not have it (has left it for good, has too many): it was never another's.
-- But when A has spoken later than V's heartbeat (by seq), that one is late and changes nothing.
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/viewer
--@include shared/left

local agenda, interval, memory = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local sessions_limit = tonumber(ARGV[3])
keep_books(ARGV[4], ARGV[5], ARGV[6], KEYS[2])
local now = clock()
local reply = { now }

-- May the heartbeat that follows have this session, and is it not there already?
local function may_take(target, session, seq)
  local record = redis.call('HGET', target.key, 's:' .. session)
  if record and parse(record) > now then return false end
  return not is_evicted(target.left, now) and not has_left(target.left, session, seq) and not is_full(target.key, now, sessions_limit)
end

-- Lease, seq, place and hiddenness go with the session; name and picture come with the heartbeat.
local function take(c, target, session, record, joined_at)
  local there_until = tonumber(redis.call('ZSCORE', c.viewers, target.viewer) or false)
  if not there_until or there_until <= now then redis.call('DEL', target.key) end
  redis.call('HSETNX', target.key, 'joined_at', joined_at)
  for _, field in ipairs(target.flag == 'a' and { 'name', 'avatar_url' } or {}) do
    local said = redis.call('HGET', target.key, field)
    if said then redis.call('HSET', target.key, 'hidden_' .. field, said) end
    redis.call('HDEL', target.key, field)
  end
  local shared, chapter = string.match(record, '^(%d+ %-?%d+ %d+ .). %S+ (.*)$')
  redis.call('HSET', target.key, 's:' .. session, shared .. target.flag .. ' - ' .. chapter)
  settle(c, target.viewer, target.key, now, {})
end

-- V comes before A goes: a set that A alone is in must not end, and lose its expiry, in between. The agenda
-- knows already when A's lease ends, which is V's now. Who is named has changed, so that a message is due.
-- No moment had both: the peak is counted when A has gone.
local function take_over(c, source, target, session, seq, record)
  c.is_swap, c.swaps = true, {}
  if may_take(target, session, seq) then
    take(c, target, session, record, redis.call('HGET', source.key, 'joined_at') or int(now))
  end
  redis.call('HDEL', source.key, 's:' .. session)
  local _, _, place, said = parse(record)
  settle(c, source.viewer, source.key, now, { [place] = chapter_in(said) })
  for chapter, at in pairs(c.swaps) do book(c, chapter, minute_of(now), 0, 0, peak_of(c, at, now)) end
  if minute_ms > 0 and has_uniques and not redis.call('ZSCORE', c.viewers, source.viewer) then
    redis.call('ZREM', c.places, mark_of(day_of(minute_of(now)), source.viewer))
  end
  return changed(c, now, interval, agenda)
end

for i = 1, tonumber(ARGV[7]) do
  local k, a = 3 + (i - 1) * 9, 8 + (i - 1) * 5
  local source = { key = KEYS[k + 5], left = KEYS[k + 6], viewer = ARGV[a] }
  local target = { key = KEYS[k + 7], left = KEYS[k + 8], viewer = ARGV[a + 1], flag = ARGV[a + 4] }
  local session, seq = ARGV[a + 2], tonumber(ARGV[a + 3])
  local record = redis.call('HGET', source.key, 's:' .. session)
  local lease, said_last = 0, -1
  if record then lease, said_last = parse(record) end
  reply[i + 1] = 0
  if lease > now and seq and seq < said_last then
    remember(target.left, session, int(said_last), memory)
  else
    if seq or lease > now then remember(source.left, session, seq and int(seq) or '!', memory) end
    if lease > now then reply[i + 1] = take_over(course_at(k), source, target, session, seq, record) end
  end
end
return reply
