#!lua flags=allow-oom
-- ARGV: prefix, name, log entry JSON, next try in ms or '' (over), state, retain s. Records one attempt.
local key = hook_key(ARGV[2])
if redis.call('EXISTS', key) == 0 then return 0 end
local tries = redis.call('HINCRBY', key, 'tries', 1)
redis.call('HSET', key, 'state', ARGV[5], 'log' .. tries, ARGV[3])
if ARGV[4] == '' then
  redis.call('ZREM', HOOKS, ARGV[2])
  redis.call('EXPIRE', key, ARGV[6])
  redis.call('HINCRBY', STATS, 'webhooks:' .. ARGV[5], 1)
else
  redis.call('ZADD', HOOKS, NOW + tonumber(ARGV[4]), ARGV[2])
end
return tries
