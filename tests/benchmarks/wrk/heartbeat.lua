-- One heartbeat a request: POST /v1/courses/{course}/heartbeat.
package.path = debug.getinfo(1, 'S').source:sub(2):match('(.*/)') .. '?.lua;' .. package.path
local common = require('common')
local fronts = {}

function init(args)
  common.read(args)
  common.each(function(n, course, body)
    local token = common.tokens[n]
    local length = #body + #'{' + 13 + #'}'
    fronts[n] = common.head('/v1/courses/' .. course .. '/heartbeat', length, token) .. '{' .. body
  end)
end

function request()
  local n, seq = common.next()
  return fronts[n] .. seq .. '}'
end

done = common.done
