#!lua flags=no-writes
-- ARGV: prefix, worker ttl ms. The reports of the workers that were heard of within the ttl.
local out = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', NOW - tonumber(ARGV[2]), '+inf')) do
  local report = redis.call('HGET', P .. 'reports', worker)
  if report then out[#out + 1] = report end
end
return out
