#!lua flags=no-writes
-- ARGV: prefix, id, index. {doc, source, claims} of a picture in the dead-letter list; {} when it is not there or not kept.
if not redis.call('ZSCORE', DEAD, ARGV[2] .. '/' .. ARGV[3]) then return {} end
local f = redis.call('HMGET', job_key(ARGV[2]), 'doc', 'p' .. ARGV[3], 'a' .. ARGV[3])
if not f[1] or not f[2] then return {} end
return f
