#!lua flags=no-writes
-- with: deliveries
-- ARGV: prefix, job id, owner. The fields of the job's deliveries, oldest first; '' when there is no such
-- job of theirs.
if not is_theirs(ARGV[3], job_key(ARGV[2])) then return '' end
local out = {}
for _, name in ipairs(delivery_names(ARGV[2])) do
  local f = redis.call('HGETALL', hook_key(name))
  if #f > 0 then out[#out + 1] = { name, f } end
end
return out
