#!lua flags=no-writes
-- ARGV: prefix, name. The fields of a test; {} when it is no longer kept.
return redis.call('HGETALL', hook_key(ARGV[2]))
