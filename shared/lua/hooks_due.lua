#!lua flags=no-writes
-- ARGV: prefix. How many webhook attempts are due.
return redis.call('ZCOUNT', HOOKS, '-inf', NOW)
