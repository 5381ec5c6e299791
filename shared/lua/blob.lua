#!lua flags=no-writes
-- ARGV: prefix, blob. Its bytes, or nothing.
return redis.call('GET', blob_key(ARGV[2]))
