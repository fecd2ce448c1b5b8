-- EVALSHA viewers: named viewers of a course or chapter, the longest lease first, from a given position on. Read only.
--
-- KEYS  viewers places chapters anonymous state
-- ARGV  chapter ("" = all), how many, from: skip leases that end later than so many ms from now ("" = none),
--       or after: the score ("" = none) and V of the last viewer read before; "1" = may skip runs of anonymous viewers
-- reply now, total, anonymous, 1 if the end was reached else 0, the last viewer that was scanned: V and the end of
--       their lease ("", 0 = nobody); how many chapters, then place, chapter for each;
--       and for each named viewer: V, the end of their lease (in that chapter)
--
-- The order is (lease end, V), descending. A call scans SCAN viewers at most. A skip finds the next named viewer by rank,
-- however many anonymous ones are before them. A viewer who is named in one session and anonymous in another
-- can make it miss one: callers that skip compare the number found with the total. reader.py makes pages from this.
--@include shared/time
--@include shared/course

local SCAN, BLOCK = 2000, 200
local now = clock()
local c = course_at(1)
local many = tonumber(ARGV[2])
local zset, base, prefix = c.viewers, 0, ''
local chapters = redis.call('HGETALL', c.chapters)
local reply = { now, count_alive(c.viewers, now), count_alive(c.anonymous, now), 1, '', 0, #chapters / 2 }
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
local may_skip = ARGV[6] == '1' and prefix == ''

local function above(score) return redis.call('ZCOUNT', zset, '(' .. int(score), '+inf') end

-- How many viewers are before (score, member) in the order, or at it: a binary search among equal scores.
local function rank_after(score, member)
  local low = above(score)
  local high = low + redis.call('ZCOUNT', zset, int(score), int(score))
  while low < high do
    local middle = math.floor((low + high) / 2)
    if redis.call('ZREVRANGE', zset, middle, middle)[1] >= member then low = middle + 1 else high = middle end
  end
  return low
end

-- The rank of the next named viewer after an anonymous one: the first with more viewers than anonymous ones before it.
local function skip_anonymous(rank, size)
  local function hidden_before(at)
    return redis.call('ZREVRANK', c.anonymous, redis.call('ZREVRANGE', zset, at, at)[1])
  end
  local before = hidden_before(rank)
  if not before then return rank end
  local low, high, named = rank, size, rank - before
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    before = hidden_before(middle)
    if not before or middle - before > named then high = middle else low = middle end
  end
  return high
end

local top = base + W - 1
if ARGV[3] ~= '' then top = base + now + tonumber(ARGV[3]) end
local rank = ARGV[4] ~= '' and rank_after(base + tonumber(ARGV[4]), prefix .. ARGV[5]) or above(top)
local size, found, scanned = above(base + now), 0, 0
while rank < size and found < many and scanned < SCAN do
  local block = redis.call('ZREVRANGE', zset, rank, math.min(rank + BLOCK, size) - 1, 'WITHSCORES')
  local names = {}
  for i = 1, #block, 2 do names[#names + 1] = string.sub(block[i], #prefix + 1) end
  local hidden, before = redis.call('ZMSCORE', c.anonymous, unpack(names)), found
  for i, viewer in ipairs(names) do
    if found == many then break end
    local ends = tonumber(block[2 * i]) - base
    reply[5], reply[6] = viewer, ends
    rank, scanned = rank + 1, scanned + 1
    if tonumber(hidden[i] or 0) <= now then
      reply[#reply + 1] = viewer
      reply[#reply + 1] = ends
      found = found + 1
    end
  end
  if may_skip and found == before and rank < size then rank = skip_anonymous(rank, size) end
end
if rank < size then reply[4] = 0 end
return reply
