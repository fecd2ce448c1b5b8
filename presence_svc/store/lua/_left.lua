-- Shared by those who leave marks and those who look for them: what a late heartbeat must find (S6).
-- Bounded, so that nobody can pile marks up: beyond MARKS sessions of one viewer that have left within a TTL, one
-- mark goes for each that comes, and that session's late packet, if there is one, counts until its lease ends.

local MARKS = 256

local function remember(left, session, mark, memory)
  local old = redis.call('HGET', left, session)
  if old == '!' then return end
  if old and mark ~= '!' and tonumber(old) >= tonumber(mark) then return end
  if not old and redis.call('HLEN', left) >= MARKS then
    redis.call('HDEL', left, redis.call('HRANDFIELD', left))
  end
  redis.call('HSET', left, session, mark)
  redis.call('PEXPIRE', left, memory)
end

-- Has this session left, as far as a heartbeat with this seq can tell?
local function has_left(left, session, seq)
  local mark = redis.call('HGET', left, session)
  return mark and (mark == '!' or (seq and seq < tonumber(mark)))
end
