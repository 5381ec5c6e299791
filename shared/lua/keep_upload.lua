-- with: quotas uploads
-- ARGV: prefix, owner, name, bytes that it counts, ttl s, most bytes of the owner (0: any), the owner's rate and burst, the
-- bytes unless they lie elsewhere. Returns {until when, ms}, or why not: {-2, ms until there is a call to be had}, {-1, bytes
-- kept, ms until the first goes}.
local owner, name, size, most = ARGV[2], ARGV[3], math.max(1024, tonumber(ARGV[4])), tonumber(ARGV[6])
local spent = spend(owner_key(owner), tonumber(ARGV[7]), tonumber(ARGV[8]))
if spent[2] then return spent end
local total = let_kept_go(owner)
if most > 0 and total + size > most then
  local first = redis.call('ZRANGE', kept_key(owner), 0, 0, 'WITHSCORES')
  return { -1, total, first[1] and tonumber(first[2]) - NOW or 0 }
end
local ends = NOW + tonumber(ARGV[5]) * 1000
if ARGV[9] then redis.call('SET', blob_key(name), ARGV[9], 'PX', ends - NOW) end
redis.call('HSET', kept_sizes_key(owner), name, ARGV[4])
redis.call('HINCRBY', kept_sizes_key(owner), '', size)
keep_until(owner, name, ends)
return { ends }
