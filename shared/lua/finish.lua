-- ARGV: prefix, id, index, fence, result JSON, 'ok' or 'bad', ModelVersion JSON.
-- Writes one picture's result, once. Returns the job's status now, or '' when the fence is stale.
local id, index = ARGV[2], ARGV[3]
local key, member = job_key(id), ARGV[2] .. '/' .. ARGV[3]
local f = redis.call('HMGET', key, 'status', 'a' .. index, 'model')
if not f[1] or f[2] ~= ARGV[4] or not redis.call('ZSCORE', LEASES, member) then return '' end
redis.call('ZREM', LEASES, member)
if is_final(f[1]) then return '' end
redis.call('HSET', key, 'r' .. index, ARGV[5], 'by', ARGV[7])
redis.call('HINCRBY', key, ARGV[6], 1)
redis.call('HINCRBY', key, 'run', -1)
redis.call('HINCRBY', STATS, 'pictures:' .. f[3] .. ':' .. ARGV[6], 1)
return settle(id)
