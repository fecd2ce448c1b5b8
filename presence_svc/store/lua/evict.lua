-- EVALSHA evict: a viewer leaves a course with all of their sessions, and may not come back for a while (S5, S6).
--
-- KEYS  agenda where viewers places chapters anonymous state viewer:V left:V
-- ARGV  publish interval ms, how long a leave is remembered ms, minute ms, uniques, people, V; for how long whatever
--       they say counts for nothing, also in other sessions, ms (0 = those that they have now alone do not come
--       back); 1 = this is the last word, also when they are banned for longer, 0 = the longer ban counts
-- reply when a message is due (0 = none)
--@include shared/time
--@include shared/course
--@include shared/history
--@include shared/viewer
--@include shared/left

keep_books(ARGV[3], ARGV[4], ARGV[5], KEYS[2])
local now = clock()
local c = course_at(3)
local key, left, was = KEYS[8], KEYS[9], {}
make_way(KEYS[1])
local flat = redis.call('HGETALL', key)
for i = 1, #flat, 2 do
  if string.sub(flat[i], 1, 2) == 's:' then
    local _, _, place, said = parse(flat[i + 1])
    was[place] = chapter_in(said)
    redis.call('HDEL', key, flat[i])
    remember(left, string.sub(flat[i], 3), '!', tonumber(ARGV[2]))
  end
end
local ban, is_last_word = tonumber(ARGV[7]), ARGV[8] == '1'
if is_last_word then redis.call('HDEL', left, EVICTED) end
if ban > 0 and not is_evicted(left, now + ban) then
  redis.call('HSET', left, EVICTED, int(now + ban))
  remember_for(left, ban)
end
if not settle(c, ARGV[6], key, now, was) then return 0 end
return changed(c, now, tonumber(ARGV[1]), KEYS[1])
