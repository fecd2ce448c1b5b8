-- Shared by all scripts that need the time: Redis's own clock (S3), integers as text, and constants.

local W = 4398046511104 -- 2^42, the width of a place's range of scores: see keys.py
local DAY = 86400000

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Lua would write 1.79e+15 for large numbers; Redis needs all the digits. `n` is a whole number.
local function int(n) return string.format('%d', n) end
