-- ARGV: prefix, id, index. The picture's source as JSON, or nothing.
return redis.call('HGET', job_key(ARGV[2]), 'p' .. ARGV[3])
