#!lua flags=allow-oom
-- with: ends
-- ARGV: prefix, most entries a call, most attempts, poison title, why a worker's end failed the attempt, worker ttl ms,
--       grace ms, patience ms: see below.
-- Takes back what dead workers held, ends what is past its deadline, forgets what is past its retention.
-- Returns {requeued, poisoned, expired, whether more is due}.
local most, attempts_allowed = tonumber(ARGV[2]), tonumber(ARGV[3])
local requeued, poisoned = 0, 0

-- A sweep that comes later than `patience` after the one before it: the store was out of everybody's reach, or down. Then
-- silence says nothing about a worker until it had `grace` to beat again; overdue leases stay until then, and a beat renews them.
local watch = redis.call('HMGET', SWEPT, 'at', 'since')
local since = tonumber(watch[2] or '0')
if watch[1] and NOW - tonumber(watch[1]) > tonumber(ARGV[8]) then since = NOW end
redis.call('HSET', SWEPT, 'at', NOW, 'since', since)
local overdue = {}
if NOW >= since + tonumber(ARGV[7]) then
  overdue = redis.call('ZRANGEBYSCORE', LEASES, '-inf', NOW, 'LIMIT', 0, most)
end
for _, member in ipairs(overdue) do
  redis.call('ZREM', LEASES, member)
  local id, index = split(member)
  local status = redis.call('HGET', job_key(id), 'status')
  if status and not is_final(status) then
    if attempt_failed(id, index, attempts_allowed, ARGV[4], ARGV[5]) == 'again' then
      requeued = requeued + 1
    else
      poisoned = poisoned + 1
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

-- A record is there, and may be tried again, to the end of the millisecond.
local forgotten = redis.call('ZRANGEBYSCORE', EXPIRY, '-inf', NOW - 1, 'LIMIT', 0, most)
for _, member in ipairs(forgotten) do
  local owner, id = string.match(member, '^([^/]+)/(.+)$')
  redis.call('ZREM', EXPIRY, member)
  redis.call('ZREM', jobs_key(owner), id)
end
redis.call('ZREMRANGEBYRANK', DEAD, 0, -10001)
for _, member in ipairs(redis.call('ZRANGE', DEAD, 0, most - 1)) do
  if redis.call('EXISTS', job_key((split(member)))) == 0 then redis.call('ZREM', DEAD, member) end
end

local silent = redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', NOW - tonumber(ARGV[6]))
for _, worker in ipairs(silent) do
  redis.call('ZREM', P .. 'workers', worker)
  redis.call('HDEL', P .. 'reports', worker)
end

local more = (#overdue == most or #late == most or #forgotten == most) and 1 or 0
return { requeued, poisoned, #late, more }
