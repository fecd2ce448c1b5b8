-- Shared by those who leave marks and those who look for them: what a late heartbeat must find (S6).
-- Bounded, so that nobody can pile marks up: beyond MARKS sessions of one viewer that have left within a TTL, one
-- mark goes for each that comes, and that session's late packet, if there is one, counts until its lease ends.

local MARKS = 256
-- In place of a session, which no id can be called: until when (ms) nothing that the viewer says counts.
local EVICTED = '!'

-- Marks live as long as the longest of them must.
local function remember_for(left, ms)
  if redis.call('PTTL', left) < ms then redis.call('PEXPIRE', left, ms) end
end

local function is_evicted(left, now) return tonumber(redis.call('HGET', left, EVICTED) or 0) > now end

-- One mark goes, whichever it is; but an eviction is not forgotten for it.
local function make_room(left)
  for _, field in ipairs(redis.call('HRANDFIELD', left, 2)) do
    if field ~= EVICTED then return redis.call('HDEL', left, field) end
  end
end

local function remember(left, session, mark, memory)
  local old = redis.call('HGET', left, session)
  if old == '!' then return end
  if old and mark ~= '!' and tonumber(old) >= tonumber(mark) then return end
  if not old and redis.call('HLEN', left) >= MARKS then make_room(left) end
  redis.call('HSET', left, session, mark)
  remember_for(left, memory)
end

-- Has this session left, as far as a heartbeat with this seq can tell?
local function has_left(left, session, seq)
  local mark = redis.call('HGET', left, session)
  return mark and (mark == '!' or (seq and seq < tonumber(mark)))
end
