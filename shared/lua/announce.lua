#!lua flags=allow-oom
-- ARGV: prefix, worker, report JSON, number of models, then name and ServedModel JSON of each, number of loaded
-- versions, then the reference of each, then reference and Description JSON of new ones in turn.
-- Returns the references of which there is no description.
redis.call('ZADD', P .. 'workers', NOW, ARGV[2])
redis.call('HSET', P .. 'reports', ARGV[2], ARGV[3])
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  redis.call('HSET', P .. 'heard', ARGV[at], ARGV[at + 1])
  at = at + 2
end
local first = at + 1
at = first + tonumber(ARGV[at])
local last = at - 1
for pair = at, #ARGV, 2 do redis.call('HSET', P .. 'versions', ARGV[pair], ARGV[pair + 1]) end
local lacking = {}
for k = first, last do
  if redis.call('HEXISTS', P .. 'versions', ARGV[k]) == 0 then lacking[#lacking + 1] = ARGV[k] end
end
return lacking
