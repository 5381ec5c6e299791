#!lua flags=allow-oom
-- with: deliveries
-- ARGV: prefix, most, lease ms, how long a delivery that is over is kept in s. Takes deliveries that are due, from each
-- endpoint as many as may be in hand there; each comes back by itself when nobody settles it. What goes to an address that
-- answered 410 is over without an attempt, unless somebody asked for it.
-- Returns {{name, job, event, url, at, tries, round, owner, secret, until}, ...}; the last two: how often the owner's
-- secret was rotated, and until when (ms) the one before is valid.
local most, lease_ms, out = tonumber(ARGV[2]), tonumber(ARGV[3]), {}

local function is_gone(owner, url)
  return tonumber(redis.call('ZSCORE', gone_key(owner), redis.sha1hex(url)) or '0') > NOW
end

local function take(endpoint, free)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', waiting_key(endpoint), '-inf', NOW, 'LIMIT', 0, 100)) do
    if free <= 0 or #out >= most then return end
    local f = redis.call('HMGET', hook_key(name), 'job', 'event', 'url', 'at', 'tries', 'round', 'owner', 'again')
    if not f[1] then
      redis.call('ZREM', waiting_key(endpoint), name)
    elseif not f[8] and f[1] ~= '' and is_gone(f[7], f[3]) then
      close(name, f[7], endpoint, 'disabled', f[4], ARGV[4])
    else
      redis.call('ZADD', waiting_key(endpoint), NOW + lease_ms, name)
      redis.call('ZADD', taken_key(endpoint), NOW + lease_ms, name)
      redis.call('PEXPIRE', taken_key(endpoint), lease_ms)
      local secret = redis.call('HMGET', owner_key(f[7]), 'secret', 'secret_until')
      out[#out + 1] = { name, f[1], f[2], f[3], f[4], f[5], f[6], f[7], secret[1] or '0', secret[2] or '0' }
      free = free - 1
    end
  end
end

for _, endpoint in ipairs(redis.call('ZRANGEBYSCORE', HOOKS, '-inf', NOW, 'LIMIT', 0, 100)) do
  if #out >= most then break end
  take(endpoint, free_at(endpoint))
  look_at(endpoint)
end
return out
