#!lua flags=no-writes
-- with: uploads
-- ARGV: prefix, owner, name. Returns {bytes, until when in ms}, or nothing.
local ends = redis.call('ZSCORE', kept_key(ARGV[2]), ARGV[3])
if not ends or tonumber(ends) <= NOW then return end
return { tonumber(redis.call('HGET', kept_sizes_key(ARGV[2]), ARGV[3])), tonumber(ends) }
