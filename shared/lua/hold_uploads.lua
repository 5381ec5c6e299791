-- with: uploads
-- ARGV: prefix, owner, ttl s, then names. These uploads live at least so long. Returns those that are not kept.
local owner, ends, missing = ARGV[2], NOW + tonumber(ARGV[3]) * 1000, {}
for at = 4, #ARGV do
  local now = redis.call('ZSCORE', kept_key(owner), ARGV[at])
  if not now or tonumber(now) <= NOW then
    missing[#missing + 1] = ARGV[at]
  elseif tonumber(now) < ends then
    redis.call('PEXPIRE', blob_key(ARGV[at]), ends - NOW)
    keep_until(owner, ARGV[at], ends)
  end
end
return missing
