#!lua flags=no-writes
-- ARGV: prefix, id, first index, count, owner or ''. Per picture {result or false, lease or false, source}; nothing past the last.
local key, first = job_key(ARGV[2]), tonumber(ARGV[3])
if not is_theirs(ARGV[5], key) then return {} end
local total = tonumber(redis.call('HGET', key, 'total') or '0')
local out = {}
for k = first, math.min(first + tonumber(ARGV[4]), total) - 1 do
  local f = redis.call('HMGET', key, 'r' .. k, 'p' .. k)
  out[#out + 1] = { f[1], redis.call('ZSCORE', LEASES, ARGV[2] .. '/' .. k), f[2] }
end
return out
