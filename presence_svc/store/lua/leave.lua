-- EVALSHA leave: ends sessions, or shortens their leases if the leave is soft (S5, S6).
--
-- KEYS  agenda where; then per leave: viewers places chapters anonymous state viewer:V left:V
-- ARGV  publish interval ms, grace ms, how long a leave is remembered ms, minute ms, uniques, people, how many
--       leaves; then per leave: V, S, seq ("" = none), soft (1 or 0)
-- reply now; then per leave: when a message is due (0 = none); ends early once the budget of this call is used up:
--       to be called again for the leaves that are not in it
--
-- A leave for good overrides every heartbeat of its session, in whatever order they arrive. A soft one shortens the
-- lease to the grace period, unless the session has sent something newer since.
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/viewer
--@include shared/left

local agenda, interval = KEYS[1], tonumber(ARGV[1])
local grace, memory = tonumber(ARGV[2]), tonumber(ARGV[3])
set_up_history(ARGV[4], ARGV[5], ARGV[6], KEYS[2])
local now = clock()
local reply = { now }
pass_memory_check(agenda)

-- A soft leave without a seq counts as newer than everything before it. If it is delivered twice it counts once:
-- raising the seq again would make the page's next heartbeat look old.
local function shorten_lease(key, left, session, seq)
  local record = redis.call('HGET', key, 's:' .. session)
  if not record or parse_record(record) <= now then
    if seq then remember(left, session, int(seq), memory) end
    return nil
  end
  local lease, old_seq, place, status = parse_record(record)
  if seq and seq < old_seq then return nil end
  if not seq then
    local repeated = lease <= now + grace and redis.call('HGET', left, session) == int(old_seq)
    seq = (old_seq < 0 or repeated) and old_seq or old_seq + 1
  end
  lease = math.min(lease, now + grace)
  redis.call('HSET', key, 's:' .. session, int(lease) .. ' ' .. int(seq) .. ' ' .. place .. ' ' .. status)
  if seq >= 0 then remember(left, session, int(seq), memory) end
  return place, status
end

local function end_session(key, left, session)
  local record = redis.call('HGET', key, 's:' .. session)
  if record then redis.call('HDEL', key, 's:' .. session) end
  remember(left, session, '!', memory)
  if not record then return nil end
  local _, _, place, status = parse_record(record)
  return place, status
end

for i = 1, tonumber(ARGV[7]) do
  local k, a = 3 + (i - 1) * 7, 8 + (i - 1) * 4
  local c = course_at(k)
  local key, left, viewer, session = KEYS[k + 5], KEYS[k + 6], ARGV[a], ARGV[a + 1]
  local seq, soft = tonumber(ARGV[a + 2]), ARGV[a + 3] == '1'
  local place, status
  if soft then
    place, status = shorten_lease(key, left, session, seq)
  else
    place, status = end_session(key, left, session)
  end
  reply[i + 1] = 0
  if place then
    local change, first = sync_viewer(c, viewer, key, now, { [place] = chapter_in(status) })
    if first > 0 then redis.call('ZADD', agenda, 'LT', int(first), id_of(c)) end
    if change then reply[i + 1] = publish_or_schedule(c, now, interval, agenda) end
  end
  if is_spent() then break end
end
return reply
