#!lua flags=no-writes
-- ARGV: prefix, owner. {rotations of the owner's webhook secret, until when the one before is valid in ms}.
local f = redis.call('HMGET', owner_key(ARGV[2]), 'secret', 'secret_until')
return { tonumber(f[1] or '0'), tonumber(f[2] or '0') }
