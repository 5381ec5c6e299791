#!lua flags=allow-oom
-- with: ends
-- ARGV: prefix, id, index, fence, most attempts, poison title, why.
-- The process that decoded a picture ended over it. Returns 'again' (it waits once more), the job's status now (it was
-- the last attempt), or '' when the fence is stale.
local id, index = ARGV[2], ARGV[3]
local f = redis.call('HMGET', job_key(id), 'status', 'a' .. index)
if not f[1] or f[2] ~= ARGV[4] or redis.call('ZREM', LEASES, id .. '/' .. index) == 0 then return '' end
if is_final(f[1]) then return '' end
return attempt_failed(id, index, tonumber(ARGV[5]), ARGV[6], ARGV[7])
