-- Shared by the scripts of tests/benchmarks/load.py: arguments, the order of viewers, and the last word.
-- Arguments: courses, viewers per course, how many have been said before, operations per call, file of tokens.

local STRIDE = 48271 -- a prime, so that every viewer has a turn: the same disorder in every run
local SEQ = 10 ^ 12

local common = { tokens = {} }

function common.read(args)
  common.courses, common.viewers = tonumber(args[1]), tonumber(args[2])
  common.at, common.per_call = tonumber(args[3]), tonumber(args[4])
  for line in io.lines(args[5]) do common.tokens[#common.tokens + 1] = line end
end

-- Whose turn it is, from 1, and the seq that they say.
function common.next()
  common.at = common.at + 1
  return (common.at * STRIDE) % (common.courses * common.viewers) + 1, string.format('%.0f', SEQ + common.at)
end

-- Course and body of each viewer, up to the digits of the seq.
function common.each(give)
  for n = 0, common.courses * common.viewers - 1 do
    local v = math.floor(n / common.courses)
    give(n + 1, 'course-' .. n % common.courses, string.format(
      '"viewer_id":"user-%06d","name":"Ada Lovelace %d","chapter_id":"ch-%d","seq":', v, v % 1000, v % 8))
  end
end

function common.head(path, length, token)
  local authorization = token and 'Authorization: Bearer ' .. token .. '\r\n' or ''
  return 'POST ' .. path .. ' HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
    .. authorization .. 'Content-Length: ' .. length .. '\r\n\r\n'
end

function common.done(summary)
  local e = summary.errors
  print(string.format('\n{"requests": %d, "seconds": %f, "errors": %d}',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout))
end

return common
