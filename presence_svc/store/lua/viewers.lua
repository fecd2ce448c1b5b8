-- EVALSHA viewers: a stretch of who is in a course or chapter, the longest lease first. Writes nothing.
--
-- KEYS  viewers places chapters anonymous state
-- ARGV  chapter ("" = all), how many, from (ms from now: no lease longer than that; "" = from the top),
--       or after: a score ("" = none) and V, the last that was read
-- reply now, total, anonymous, how many chapters, then place, chapter for each;
--       and for each viewer: V, the end of their lease (in that chapter), 1 if anonymous else 0
--
-- The order is (lease end, V), downwards. Fewer than asked for = the end. How pages are made of it: roster.py.
--@include _course

local now = clock()
local c = course_at(1)
local many = tonumber(ARGV[2])
local zset, base, prefix = c.viewers, 0, ''
local chapters = redis.call('HGETALL', c.chapters)
local reply = { now, alive_in(c.viewers, now), alive_in(c.anonymous, now), #chapters / 2 }
local place = nil
for i = 1, #chapters, 2 do
  reply[#reply + 1] = tonumber(chapters[i + 1])
  reply[#reply + 1] = chapters[i]
  if chapters[i] == ARGV[1] then place = chapters[i + 1] end
end
if ARGV[1] ~= '' then
  if not place then return reply end
  zset, base, prefix = c.places, tonumber(place) * W, place .. ' '
end

local function above(score) return redis.call('ZCOUNT', zset, '(' .. int(score), '+inf') end

-- How many come before and with (score, member) in the order: a binary search among those of equal score.
local function rank_after(score, member)
  local low = above(score)
  local high = low + redis.call('ZCOUNT', zset, int(score), int(score))
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZREVRANGE', zset, middle, middle)[1] >= member then low = middle + 1 else high = middle end
  end
  return low
end

local top = base + W - 1
if ARGV[3] ~= '' then top = base + now + tonumber(ARGV[3]) end
local rank = ARGV[4] ~= '' and rank_after(base + tonumber(ARGV[4]), prefix .. ARGV[5]) or above(top)
local found = redis.call('ZREVRANGE', zset, rank, rank + many - 1, 'WITHSCORES')
for i = 1, #found, 2 do
  local ends = tonumber(found[i + 1]) - base
  if ends <= now then break end
  local viewer = string.sub(found[i], #prefix + 1)
  reply[#reply + 1] = viewer
  reply[#reply + 1] = ends
  reply[#reply + 1] = tonumber(redis.call('ZSCORE', c.anonymous, viewer) or 0) > now and 1 or 0
end
return reply
