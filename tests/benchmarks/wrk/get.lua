-- The URL as it is, again and again.
package.path = debug.getinfo(1, 'S').source:sub(2):match('(.*/)') .. '?.lua;' .. package.path
done = require('common').done
