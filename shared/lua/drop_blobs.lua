#!lua flags=allow-oom
-- ARGV: prefix, then blob names. Returns how many were there.
local dropped = 0
for at = 2, #ARGV do
  dropped = dropped + redis.call('UNLINK', blob_key(ARGV[at]))
end
return dropped
