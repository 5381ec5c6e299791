-- Webhooks. Each delivery waits at its endpoint (scheme, host and port), and `hooks` says when which endpoint is to be looked
-- at next: so what waits at a dead one stands in nobody's way. Its owner's log holds the newest deliveries.
--   hook:<name>            a delivery: job ('': a test), owner, event, url, to (endpoint), at, state, round, tries (of this
--                          round), made (all), next, log<k>, again (when somebody last asked for it), era (of its job: what
--                          its rounds begin with)
--   rounds:<job>           the last round of the job that somebody was told of, where that is not the first; outlives the job,
--                          as its deliveries do
--   hooks:<endpoint>       deliveries by when they are due        taken:<endpoint>       those in hand, by the lease's end
--   trouble:<endpoint>     there while it gives no answers       gone:<owner>           addresses that answered 410
--   deliveries:<owner>     names by time of the event             undelivered:<owner>    the failed and disabled
local AT_ONCE, AT_ONCE_IN_TROUBLE, TROUBLE_S = 8, 2, 60
local LOG_MOST, LOG_S = 10000, 30 * 86400
local function waiting_key(endpoint) return P .. 'hooks:' .. endpoint end
local function taken_key(endpoint) return P .. 'taken:' .. endpoint end
local function trouble_key(endpoint) return P .. 'trouble:' .. endpoint end
local function gone_key(owner) return P .. 'gone:' .. owner end
local function rounds_key(id) return P .. 'rounds:' .. id end
local function log_key(owner) return P .. 'deliveries:' .. owner end
local function undelivered_key(owner) return P .. 'undelivered:' .. owner end

-- How many more attempts may begin there now: few where the last one had no answer, so that it holds few threads.
local function free_at(endpoint)
  local most = redis.call('EXISTS', trouble_key(endpoint)) == 1 and AT_ONCE_IN_TROUBLE or AT_ONCE
  redis.call('ZREMRANGEBYSCORE', taken_key(endpoint), '-inf', NOW)
  return most - redis.call('ZCARD', taken_key(endpoint))
end

-- Say when the endpoint is to be looked at next.
local function look_at(endpoint)
  local first = redis.call('ZRANGE', waiting_key(endpoint), 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', HOOKS, endpoint)
    return
  end
  local due = tonumber(first[2])
  if free_at(endpoint) <= 0 then
    due = math.max(due, tonumber(redis.call('ZRANGE', taken_key(endpoint), 0, 0, 'WITHSCORES')[2]))
  end
  redis.call('ZADD', HOOKS, due, endpoint)
end

local function outbox(endpoint, name)
  redis.call('ZADD', waiting_key(endpoint), NOW, name)
  look_at(endpoint)
end

-- A delivery that is over is kept while one of its owner's lists has it.
local function forget_unlisted(owner, name)
  if redis.call('ZSCORE', log_key(owner), name) or redis.call('ZSCORE', undelivered_key(owner), name) then return end
  local state = redis.call('HGET', hook_key(name), 'state')
  if state and state ~= 'pending' then redis.call('DEL', hook_key(name)) end
end

-- Keep a name in one of an owner's lists, and the list within its bound.
local function list(key, owner, at, name)
  redis.call('ZADD', key, at, name)
  redis.call('EXPIRE', key, LOG_S)
  if redis.call('ZCARD', key) > LOG_MOST then forget_unlisted(owner, redis.call('ZPOPMIN', key)[1]) end
end

local EVENTS_OF_JOBS = { 'job.succeeded', 'job.failed', 'job.canceled', 'job.expired' }
-- Name of a delivery: each end of a job has one of its own, for receivers tell repeats by it. The first one has no number.
local function delivery_name(id, event, round)
  if round == 0 then return id .. '.' .. event end
  return id .. '.' .. event .. '.' .. (round + 1)
end

-- Every name that a delivery of the job may have.
local function delivery_names(id)
  local names = {}
  for round = 0, tonumber(redis.call('GET', rounds_key(id)) or '0') do
    for _, event in ipairs(EVENTS_OF_JOBS) do names[#names + 1] = delivery_name(id, event, round) end
  end
  return names
end

-- Nobody is told of the job any more, or of an earlier one of its id.
local function drop_deliveries(id)
  for _, name in ipairs(delivery_names(id)) do
    local f = redis.call('HMGET', hook_key(name), 'owner', 'to')
    if f[1] then
      redis.call('ZREM', waiting_key(f[2]), name)
      redis.call('ZREM', taken_key(f[2]), name)
      redis.call('ZREM', log_key(f[1]), name)
      redis.call('ZREM', undelivered_key(f[1]), name)
      redis.call('DEL', hook_key(name))
      look_at(f[2])
    end
  end
  redis.call('DEL', rounds_key(id))
end

-- Tell of a job's end. An attempt that is in hand for an earlier job of this id has an earlier round than any of this one.
local function tell(owner, id, event, hook, round, era, retain)
  local name = delivery_name(id, event, round)
  if round > 0 then redis.call('SET', rounds_key(id), round, 'EX', retain + LOG_S) end
  redis.call('HSET', hook_key(name), 'job', id, 'owner', owner, 'event', event, 'url', hook.url, 'to', hook.to, 'at', NOW,
    'state', 'pending', 'round', era, 'era', era, 'tries', 0, 'made', 0, 'next', NOW)
  list(log_key(owner), owner, NOW, name)
  outbox(hook.to, name)
end

-- A delivery is over. What was not taken is listed for whoever sends it again.
local function close(name, owner, endpoint, state, at, keep_s)
  redis.call('ZREM', waiting_key(endpoint), name)
  redis.call('HSET', hook_key(name), 'state', state)
  redis.call('HDEL', hook_key(name), 'next')
  redis.call('EXPIRE', hook_key(name), keep_s)
  if state == 'delivered' then
    redis.call('ZREM', undelivered_key(owner), name)
    forget_unlisted(owner, name)
  else
    list(undelivered_key(owner), owner, at, name)
  end
  redis.call('HINCRBY', STATS, 'webhooks:' .. state, 1)
end

-- A delivery that is over, or waits for its next attempt, is made now, with the whole schedule before it. An attempt
-- that is in hand goes on, but decides no more.
local function send_again(name)
  local key = hook_key(name)
  local f = redis.call('HMGET', key, 'owner', 'to')
  redis.call('PERSIST', key)
  redis.call('HINCRBY', key, 'round', 1)
  redis.call('HSET', key, 'state', 'pending', 'tries', 0, 'next', NOW, 'again', NOW)
  redis.call('ZREM', undelivered_key(f[1]), name)
  redis.call('ZREM', taken_key(f[2]), name)
  outbox(f[2], name)
end
