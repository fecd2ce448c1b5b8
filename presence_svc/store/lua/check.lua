-- EVALSHA check: runs every command that the other scripts use, on scratch keys, to find missing permissions.
--
-- KEYS  a hash, a sorted set, a string: deleted before the script ends
-- ARGV  a channel
-- reply now; then per command that was refused: its name and Redis's error message
--
-- Called by readiness, about once per second and replica, and by doctor. Nobody subscribes to its channel.

local reply = { 0 }
local function try(name, ...)
  local found = redis.pcall(name, ...)
  if type(found) ~= 'table' or not found.err then return found end
  reply[#reply + 1], reply[#reply + 2] = name, found.err
end

local hash, zset, text, second = KEYS[1], KEYS[2], KEYS[3], 1000
local time = try('TIME')
if time then reply[1] = time[1] * 1000 + math.floor(time[2] / 1000) end
try('ZADD', zset, 1, 'a', 2, 'b')
try('ZCOUNT', zset, '-inf', '+inf')
try('ZRANGE', zset, 0, -1)
try('ZREVRANGE', zset, 0, -1)
try('ZRANGEBYSCORE', zset, '-inf', '+inf')
try('ZSCORE', zset, 'a')
try('ZMSCORE', zset, 'a', 'b')
try('ZREVRANK', zset, 'a')
try('ZREM', zset, 'a')
try('ZREMRANGEBYRANK', zset, 0, -1)
try('HSET', hash, 'a', '1')
try('HSETNX', hash, 'b', '1')
try('HGET', hash, 'a')
try('HMGET', hash, 'a', 'b')
try('HGETALL', hash)
try('HLEN', hash)
try('HRANDFIELD', hash)
try('HDEL', hash, 'a')
try('PEXPIRE', hash, second)
try('PEXPIREAT', hash, (reply[1] + second))
try('SET', text, '1', 'PX', second)
try('GET', text)
try('PTTL', text)
try('APPEND', text, '1')
try('STRLEN', text)
try('GETRANGE', text, 0, 0)
try('HEXISTS', hash, 'a')
try('ZCARD', zset)
try('ZSCAN', zset, 0)
try('ZREMRANGEBYSCORE', zset, '-inf', '+inf')
try('DEL', hash, zset, text)
try('PFADD', text, 'a')
try('PFCOUNT', text)
try('RPUSH', hash, 'a')
try('LTRIM', hash, 0, -1)
try('LRANGE', hash, 0, -1)
try('SADD', zset, 'a')
try('SCARD', zset)
redis.call('DEL', hash, zset, text)
local PUBLISH = 'PUBLISH' -- or 'SPUBLISH': scripts.py
try(PUBLISH, ARGV[1], 'check')
return reply
