-- EVALSHA evict: removes a viewer with all of their sessions from a course, and bans them for a while (S5, S6).
--
-- KEYS  agenda where viewers places chapters anonymous state viewer:V left:V
-- ARGV  publish interval ms, how long a leave is remembered ms, minute ms, uniques, people, V; length of the ban in ms,
--       in which heartbeats of all sessions are ignored (0 = only of the sessions that exist now); 1 = this ban
--       replaces an existing one, even a longer one, 0 = the longer ban counts
-- reply when a message is due (0 = none)
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/viewer
--@include shared/left

set_up_history(ARGV[3], ARGV[4], ARGV[5], KEYS[2])
local now = clock()
local c = course_at(3)
local key, left, former = KEYS[8], KEYS[9], {}
pass_memory_check(KEYS[1])
local flat = redis.call('HGETALL', key)
for i = 1, #flat, 2 do
  if string.sub(flat[i], 1, 2) == 's:' then
    local lease, _, place, status = parse_record(flat[i + 1])
    former[place] = chapter_in(status)
    redis.call('HDEL', key, flat[i])
    -- A session whose lease has ended may come back, as it may when its record has expired with the others.
    if lease > now then remember(left, string.sub(flat[i], 3), '!', tonumber(ARGV[2])) end
  end
end
local ban, replaces_ban = tonumber(ARGV[7]), ARGV[8] == '1'
if replaces_ban then redis.call('HDEL', left, EVICTED) end
if ban > 0 and not is_evicted(left, now + ban) then
  redis.call('HSET', left, EVICTED, int(now + ban))
  remember_for(left, ban)
end
if not sync_viewer(c, ARGV[6], key, now, former) then return 0 end
return publish_or_schedule(c, now, tonumber(ARGV[1]), KEYS[1])
