-- Shared by leave and evict: what a late heartbeat must find (S6). Bounded, so that nobody can pile marks up.

local MARKS = 256

local function remember(left, session, mark, memory)
  local old = redis.call('HGET', left, session)
  if old == '!' then return end
  if old and mark ~= '!' and tonumber(old) >= tonumber(mark) then return end
  if not old and redis.call('HLEN', left) >= MARKS then redis.call('DEL', left) end
  redis.call('HSET', left, session, mark)
  redis.call('PEXPIRE', left, memory)
end
