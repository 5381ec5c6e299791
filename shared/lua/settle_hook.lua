#!lua flags=allow-oom
-- ARGV: prefix, name, round, log entry JSON, next try in ms or '' (over), state, how long one that is over is kept in s,
--       entries of the log kept, 'ok' (taken), 'gone' (410), 'trouble' (gives no or slow answers) or 'no', how long a 410 counts in ms.
-- Records one attempt. Of an attempt that a redelivery overtook the log alone is kept. Returns the attempts made.
local name, key = ARGV[2], hook_key(ARGV[2])
local f = redis.call('HMGET', key, 'job', 'owner', 'to', 'round', 'url', 'at')
if not f[1] then return 0 end
local owner, endpoint, gone = f[2], f[3], gone_key(f[2])
if ARGV[9] == 'ok' then
  redis.call('DEL', trouble_key(endpoint))
  redis.call('ZREM', gone, redis.sha1hex(f[5]))
elseif ARGV[9] == 'trouble' then
  redis.call('SET', trouble_key(endpoint), 1, 'EX', TROUBLE_S)
end
if ARGV[9] == 'gone' then
  redis.call('ZADD', gone, NOW + tonumber(ARGV[10]), redis.sha1hex(f[5]))
  redis.call('ZREMRANGEBYRANK', gone, 0, -1001)
  redis.call('PEXPIRE', gone, ARGV[10])
end
local made = redis.call('HINCRBY', key, 'made', 1)
redis.call('HSET', key, 'log' .. made, ARGV[4])
redis.call('HDEL', key, 'log' .. (made - tonumber(ARGV[8])))
if f[4] == ARGV[3] then
  redis.call('ZREM', taken_key(endpoint), name)
  redis.call('HINCRBY', key, 'tries', 1)
  if f[1] == '' then
    redis.call('ZREM', waiting_key(endpoint), name)
    redis.call('HSET', key, 'state', ARGV[6])
    redis.call('PUBLISH', EVENTS, name .. ' ' .. ARGV[6] .. ' 1')
  elseif ARGV[5] == '' then
    close(name, owner, endpoint, ARGV[6], f[6], ARGV[7])
  else
    redis.call('HSET', key, 'next', NOW + tonumber(ARGV[5]))
    redis.call('ZADD', waiting_key(endpoint), NOW + tonumber(ARGV[5]), name)
  end
end
look_at(endpoint)
return made
