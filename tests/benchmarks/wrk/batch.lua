-- Many heartbeats a request: POST /v1/heartbeats.
package.path = debug.getinfo(1, 'S').source:sub(2):match('(.*/)') .. '?.lua;' .. package.path
local common = require('common')
local fronts = {}

function init(args)
  common.read(args)
  common.each(function(n, course, body) fronts[n] = '{"course_id":"' .. course .. '",' .. body end)
end

function request()
  local items = {}
  for i = 1, common.per_call do
    local n, seq = common.next()
    items[i] = fronts[n] .. seq .. '}'
  end
  local body = '{"heartbeats":[' .. table.concat(items, ',') .. ']}'
  return common.head('/v1/heartbeats', #body, nil) .. body
end

done = common.done
