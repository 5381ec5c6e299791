-- ARGV: prefix, worker, report JSON, then model name and ServedModel JSON in turn.
redis.call('ZADD', P .. 'workers', NOW, ARGV[2])
redis.call('HSET', P .. 'reports', ARGV[2], ARGV[3])
for at = 4, #ARGV, 2 do redis.call('HSET', P .. 'models', ARGV[at], ARGV[at + 1]) end
return 1
