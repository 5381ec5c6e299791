-- ARGV: prefix, id. Returns '' (no such job), the final status it already had, or 'ended' (it is canceled now).
local status = redis.call('HGET', job_key(ARGV[2]), 'status')
if not status then return '' end
if is_final(status) then return status end
end_job(ARGV[2], 'canceled')
return 'ended'
