#!lua flags=allow-oom
-- ARGV: prefix, holder, ttl ms. 1 when the holder may sweep now.
return redis.call('SET', P .. 'sweeper', ARGV[2], 'NX', 'PX', tonumber(ARGV[3])) and 1 or 0
