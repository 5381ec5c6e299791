-- with: quotas deliveries
-- ARGV: prefix, job id, owner, name, ms between two redeliveries of one delivery. Sends a delivery of the job again.
-- Returns 0, or why not: {-1} no such job of theirs, {-2} no such delivery, {-3, ms} too soon after the last time.
if not is_theirs(ARGV[3], job_key(ARGV[2])) then return { -1 } end
local f = redis.call('HMGET', hook_key(ARGV[4]), 'job', 'again', 'owner')
if f[1] ~= ARGV[2] then return { -2 } end
local early = tonumber(f[2] or '0') + tonumber(ARGV[5]) - NOW
if early > 0 then return { -3, early } end
early = spend_call(f[3])
if early > 0 then return { -3, early } end
send_again(ARGV[4])
return { 0 }
