#!lua flags=allow-oom
-- ARGV: prefix, blob, bytes, ttl s.
redis.call('SET', blob_key(ARGV[2]), ARGV[3], 'EX', tonumber(ARGV[4]))
return 1
