#!lua flags=allow-oom
-- with: ends
-- ARGV: prefix, id, owner or ''. Returns '' (no such job of theirs), the final status it already had, or 'ended' (it is
-- canceled now).
local key = job_key(ARGV[2])
if not is_theirs(ARGV[3], key) then return '' end
local status = redis.call('HGET', key, 'status')
if is_final(status) then return status end
end_job(ARGV[2], 'canceled')
return 'ended'
