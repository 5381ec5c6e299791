#!lua flags=allow-oom
-- ARGV: prefix, id, index, fence, bytes, ttl s. Keeps a drawn picture, unless the fence is stale: then 0.
local f = redis.call('HMGET', job_key(ARGV[2]), 'status', 'a' .. ARGV[3])
if not f[1] or is_final(f[1]) or f[2] ~= ARGV[4] or not redis.call('ZSCORE', LEASES, ARGV[2] .. '/' .. ARGV[3]) then return 0 end
redis.call('SET', drawn_key(ARGV[2], ARGV[3]), ARGV[5], 'EX', tonumber(ARGV[6]))
return 1
