#!lua flags=allow-oom
-- ARGV: prefix, lease ms, then lease member and fence in turn.
-- Extends the leases that are still held; returns the members that were lost (ended, taken back, claimed anew).
local lease_end, lost = NOW + tonumber(ARGV[2]), {}
for at = 3, #ARGV, 2 do
  local id, index = split(ARGV[at])
  local f = redis.call('HMGET', job_key(id), 'status', 'a' .. index)
  if f[1] and not is_final(f[1]) and f[2] == ARGV[at + 1] and redis.call('ZSCORE', LEASES, ARGV[at]) then
    redis.call('ZADD', LEASES, lease_end, ARGV[at])
  else
    lost[#lost + 1] = ARGV[at]
  end
end
return lost
