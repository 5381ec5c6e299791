-- ARGV: prefix, id, index, fence, result JSON, 'ok' or 'bad', ModelVersion JSON.
-- Writes one picture's result, once. Returns the job's status now, or '' when the fence is stale.
local id, index = ARGV[2], ARGV[3]
local key, member = job_key(id), ARGV[2] .. '/' .. ARGV[3]
local f = redis.call('HMGET', key, 'status', 'a' .. index)
if not f[1] or f[2] ~= ARGV[4] or not redis.call('ZSCORE', LEASES, member) then return '' end
redis.call('ZREM', LEASES, member)
if is_final(f[1]) then return '' end
redis.call('HSET', key, 'by', ARGV[7])
return commit(id, index, ARGV[6], ARGV[5])
