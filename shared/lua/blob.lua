-- ARGV: prefix, blob. Its bytes, or nothing.
return redis.call('GET', P .. 'blob:' .. ARGV[2])
