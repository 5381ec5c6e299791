-- ARGV: prefix, most entries a call, most attempts, poison title, poison detail, worker ttl ms.
-- Takes back what dead workers held, ends what is past its deadline, forgets what is past its retention.
-- Returns {requeued, poisoned, expired, whether more is due}.
local most, attempts_allowed = tonumber(ARGV[2]), tonumber(ARGV[3])
local requeued, poisoned = 0, 0

local function fail_as_poison(id, index, attempts)
  local result = {
    index = tonumber(index), status = 'failed', attempts = attempts,
    error = { code = 'poison', title = ARGV[4], detail = ARGV[5] },
  }
  local source = cjson.decode(redis.call('HGET', job_key(id), 'p' .. index))
  if source.id then result.id = source.id end
  redis.call('ZADD', DEAD, NOW, id .. '/' .. index)
  commit(id, index, 'bad', cjson.encode(result))
end

local overdue = redis.call('ZRANGEBYSCORE', LEASES, '-inf', NOW, 'LIMIT', 0, most)
for _, member in ipairs(overdue) do
  redis.call('ZREM', LEASES, member)
  local id, index = split(member)
  local f = redis.call('HMGET', job_key(id), 'status', 'a' .. index, 'h' .. index)
  if f[1] and not is_final(f[1]) then
    local attempts = tonumber(f[2]) - tonumber(f[3] or '0')
    if attempts >= attempts_allowed then
      fail_as_poison(id, index, attempts)
      poisoned = poisoned + 1
    else
      put_back(id, index)
      requeued = requeued + 1
    end
  end
end

local late = redis.call('ZRANGEBYSCORE', DEADLINES, '-inf', NOW, 'LIMIT', 0, most)
for _, id in ipairs(late) do
  if redis.call('EXISTS', job_key(id)) == 1 then
    end_job(id, 'expired')
  else
    redis.call('ZREM', DEADLINES, id)
  end
end

local forgotten = redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', NOW, 'LIMIT', 0, most)
for _, id in ipairs(forgotten) do
  redis.call('ZREM', EXPIRY, id)
  redis.call('ZREM', JOBS, id)
end
redis.call('ZREMRANGEBYRANK', DEAD, 0, -10001)

local silent = redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', NOW - tonumber(ARGV[6]))
for _, worker in ipairs(silent) do
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('HDEL', P .. 'reports', worker)
end

local more = (#overdue == most or #late == most or #forgotten == most) and 1 or 0
return { requeued, poisoned, #late, more }
