-- with: quotas
-- ARGV: prefix, owner, ms that the old secret stays valid. The next webhook secret of an owner.
-- Returns {rotations, until when the one before is valid in ms}, or {-1, ms until it may be asked for again}.
local key = owner_key(ARGV[2])
local early = spend_call(ARGV[2])
if early > 0 then return { -1, early } end
local till = NOW + tonumber(ARGV[3])
redis.call('HSET', key, 'secret_until', till)
return { redis.call('HINCRBY', key, 'secret', 1), till }
