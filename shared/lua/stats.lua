#!lua flags=no-writes
-- ARGV: prefix. Counter and count in turn.
return redis.call('HGETALL', STATS)
