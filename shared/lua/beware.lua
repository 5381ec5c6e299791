#!lua flags=allow-oom
-- with: ends
-- ARGV: prefix. A worker died: for a while all workers decode in child processes.
redis.call('SET', WARY, 1, 'PX', WARY_MS)
return 1
