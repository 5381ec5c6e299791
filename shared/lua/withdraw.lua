#!lua flags=allow-oom
-- ARGV: prefix, worker.
redis.call('ZREM', P .. 'workers', ARGV[2])
return redis.call('HDEL', P .. 'reports', ARGV[2])
