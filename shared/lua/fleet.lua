#!lua flags=no-writes
-- ARGV: prefix, worker ttl ms. {reports of the workers heard of within the ttl, ServedModel JSON of every model}.
local live = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', NOW - tonumber(ARGV[2]), '+inf')) do
  local report = redis.call('HGET', P .. 'reports', worker)
  if report then live[#live + 1] = report end
end
return { live, redis.call('HVALS', P .. 'heard') }
