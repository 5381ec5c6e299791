-- Uploads that an owner keeps for several jobs. No job's end drops them: their names tell.
--   kept:<owner>   names by when they go     sizes:<owner>   bytes by name; '': of all, a small one counted as 1 kB
local function kept_key(owner) return P .. 'kept:' .. owner end
local function kept_sizes_key(owner) return P .. 'sizes:' .. owner end
local function is_kept(upload) return string.sub(upload, 1, 4) == 'upk_' end

local function keep_until(owner, name, ends)
  redis.call('ZADD', kept_key(owner), ends, name)
  local last = redis.call('ZRANGE', kept_key(owner), -1, -1, 'WITHSCORES')[2]
  redis.call('PEXPIRE', kept_key(owner), math.max(1, last - NOW))
  redis.call('PEXPIRE', kept_sizes_key(owner), math.max(1, last - NOW))
end

-- A job needs these bytes for so long. Where their owner keeps them, they count as kept as well: bytes that live on unseen would be
-- in nobody's bound, and the next job that names them would shorten their life.
local function prolong(owner, name, ttl_s)
  redis.call('EXPIRE', blob_key(name), ttl_s, 'GT')
  if not is_kept(name) then return end
  local ends, now = NOW + ttl_s * 1000, redis.call('ZSCORE', kept_key(owner), name)
  if now and tonumber(now) > NOW and tonumber(now) < ends then keep_until(owner, name, ends) end
end

local function let_go(owner, name)
  local size = tonumber(redis.call('HGET', kept_sizes_key(owner), name))
  redis.call('HINCRBY', kept_sizes_key(owner), '', -math.max(1024, size))
  redis.call('HDEL', kept_sizes_key(owner), name)
  redis.call('ZREM', kept_key(owner), name)
end

-- Those whose time is over go from the list. Returns the bytes of the others.
local function let_kept_go(owner)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', kept_key(owner), '-inf', NOW)) do let_go(owner, name) end
  return tonumber(redis.call('HGET', kept_sizes_key(owner), '') or '0')
end
