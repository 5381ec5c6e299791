#!lua flags=allow-oom
-- with: deliveries
-- ARGV: prefix, name, round, log entry JSON, next try in ms or '' (over), state, how long one that is over is kept in s,
--       entries of the log kept, 'ok' (taken), 'gone' (410), 'trouble' (gives no or slow answers) or 'no', how long a 410 counts in ms,
--       attempts of the round before this one.
-- Records one attempt. It decides what becomes of the delivery, unless a redelivery overtook it, or its lease ran out and another
-- attempt was settled first: then the log alone is kept. But what was taken was taken. Returns the attempts made.
local name, key = ARGV[2], hook_key(ARGV[2])
local f = redis.call('HMGET', key, 'job', 'owner', 'to', 'round', 'url', 'at', 'state', 'tries', 'era')
if not f[1] or tonumber(ARGV[3]) < tonumber(f[9] or '0') then return 0 end
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
local decides = f[7] == 'pending' and f[8] == ARGV[11] or ARGV[9] == 'ok' and f[7] ~= 'delivered'
if f[4] == ARGV[3] and decides then
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
