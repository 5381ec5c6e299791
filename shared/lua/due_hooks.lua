#!lua flags=allow-oom
-- ARGV: prefix, most, lease ms. Takes the deliveries that are due; each comes back by itself when nobody settles it.
-- Returns {{name, job, event, url, at, tries}, ...}.
local due = redis.call('ZRANGEBYSCORE', HOOKS, '-inf', NOW, 'LIMIT', 0, tonumber(ARGV[2]))
local out = {}
for _, name in ipairs(due) do
  local f = redis.call('HMGET', hook_key(name), 'job', 'event', 'url', 'at', 'tries')
  if f[1] then
    redis.call('ZADD', HOOKS, NOW + tonumber(ARGV[3]), name)
    out[#out + 1] = { name, f[1], f[2], f[3], f[4], f[5] }
  else
    redis.call('ZREM', HOOKS, name)
  end
end
return out
