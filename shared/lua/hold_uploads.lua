-- with: uploads
-- ARGV: prefix, owner, ttl s, then names. These uploads live at least so long. Returns those that are not kept.
local owner, missing = ARGV[2], {}
for at = 4, #ARGV do
  local now = redis.call('ZSCORE', kept_key(owner), ARGV[at])
  if not now or tonumber(now) <= NOW then
    missing[#missing + 1] = ARGV[at]
  else
    prolong(owner, ARGV[at], tonumber(ARGV[3]))
  end
end
return missing
