#!lua flags=no-writes
-- ARGV: prefix. {KeyRecord JSON, last use in ms or false} of every key.
local out, keys = {}, redis.call('HGETALL', P .. 'keys')
for at = 1, #keys, 2 do
  out[#out + 1] = { keys[at + 1], redis.call('HGET', P .. 'keys:used', keys[at]) }
end
return out
