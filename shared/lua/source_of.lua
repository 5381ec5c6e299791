#!lua flags=no-writes
-- ARGV: prefix, id, index, owner or ''. The picture's source as JSON, or nothing.
local key = job_key(ARGV[2])
return is_theirs(ARGV[4], key) and redis.call('HGET', key, 'p' .. ARGV[3])
