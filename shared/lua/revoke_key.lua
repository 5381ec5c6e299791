#!lua flags=allow-oom
-- ARGV: prefix, key id. 1 when it was there.
redis.call('HDEL', P .. 'keys:used', ARGV[2])
return redis.call('HDEL', P .. 'keys', ARGV[2])
