-- Shared by all scripts that tell the time: Redis's own clock (S3), whole numbers as text, and a place's scores.

local W = 4398046511104 -- 2^42: a place's stretch of scores, see keys.py
local DAY = 86400000

local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- Lua writes 1.79e+15 for large numbers; Redis wants all the digits.
local function int(n) return string.format('%.0f', n) end
