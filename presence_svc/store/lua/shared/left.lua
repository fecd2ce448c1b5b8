-- The marks of sessions that have left, which let late heartbeats be ignored (S6).
-- Bounded, so that nobody can fill Redis with them: beyond MARKS sessions of one viewer that left within a TTL, each
-- new mark replaces another. A late packet of that other session would then count until its lease ends.

local MARKS = 256
-- A field that no session id can equal: until when (ms) everything from this viewer is ignored.
local EVICTED = '!'

-- All marks of a viewer share one expiry, which is the latest that any of them needs.
local function remember_for(left, ms)
  if redis.call('PTTL', left) < ms then redis.call('PEXPIRE', left, ms) end
end

local function is_evicted(left, now) return tonumber(redis.call('HGET', left, EVICTED) or 0) > now end

-- Drops any one mark, but never the eviction.
local function drop_one_mark(left)
  for _, field in ipairs(redis.call('HRANDFIELD', left, 2)) do
    if field ~= EVICTED then return redis.call('HDEL', left, field) end
  end
end

local function remember(left, session, mark, memory)
  local old = redis.call('HGET', left, session)
  if old == '!' then return end
  if old and mark ~= '!' and tonumber(old) >= tonumber(mark) then return end
  if not old and redis.call('HLEN', left) >= MARKS then drop_one_mark(left) end
  redis.call('HSET', left, session, mark)
  remember_for(left, memory)
end

-- Whether this session has left, as seen by a heartbeat with this seq.
local function has_left(left, session, seq)
  local mark = redis.call('HGET', left, session)
  return mark and (mark == '!' or (seq and seq < tonumber(mark)))
end
