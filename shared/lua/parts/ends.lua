-- How pictures and jobs come to their ends, or back to the queue.
-- with: turns deliveries

-- Fields of a job's hash:
--   doc    JobSpec as JSON, never changed      model, owner, total, score, created, deadline, retain: from it
--   status ver started finished                next: first index never claimed    ret: length of todo
--   tries: most attempts of one picture so far
--   run ok bad: pictures in each state         gone: pictures that ended with the job (canceled, expired)
--   p<k> source, a<k> fence (claims so far), h<k> claims that are no attempts (handed back, or before a retry), r<k> result:
--   of picture k
--   queued: since when it waits                idem: digest of the idempotency key, if any
--   s<k>: its bytes are those of another job as well (a replay)
--   same, era: of an id that a client chose, the request's fingerprint, and what its fences begin after: no claim of a job of
--   that id which was there before has one of these
--   round: how often it left a final state again (absent: never). Whoever does that counts it here and takes `started` away.
-- Beside it, of a job of several pictures: done:<id>, a list of indexes in the order in which they got results. A retry
-- puts '-' for those that it takes back. It only ever grows, so a place in it means the same to every process (events.lua, decision 20).
local function end_job(id, status)
  local key = job_key(id)
  local f = redis.call('HMGET', key, 'model', 'total', 'next', 'ret', 'ok', 'bad', 'retain', 'hook',
    'owner', 'run', 'round', 'era')
  local owner = f[9] or DEFAULT_OWNER
  local model, total, ok, bad = f[1], tonumber(f[2]), tonumber(f[5]), tonumber(f[6])
  local waiting = total - tonumber(f[3]) + tonumber(f[4])
  if waiting > 0 then waits(model, owner, -waiting) end
  redis.call('HINCRBY', owner_key(owner), 'open', -1)
  redis.call('ZREM', queue_key(model, owner), id)
  redis.call('ZREM', DEADLINES, id)
  redis.call('DEL', todo_key(id))
  if tonumber(f[10]) > 0 then take_out(LEASES, id, tonumber(f[3])) end
  redis.call('HSET', key, 'status', status, 'finished', NOW, 'run', 0, 'gone', total - ok - bad)
  redis.call('HINCRBY', STATS, 'jobs:' .. model .. ':' .. status, 1)
  local retain = tonumber(f[7])
  redis.call('EXPIRE', key, retain)
  redis.call('EXPIRE', done_key(id), retain)
  redis.call('ZADD', EXPIRY, NOW + retain * 1000, owner .. '/' .. id)
  if f[8] then
    local hook = cjson.decode(f[8])
    local event = 'job.' .. status
    for _, wanted in ipairs(hook.events) do
      if wanted == event then tell(owner, id, event, hook, tonumber(f[11] or '0'), f[12] or '0', retain) end
    end
  end
  changed(id, status)
end

-- After a picture reached its end: the job ends with its last one. Returns the job's status now.
local function settle(id)
  local f = redis.call('HMGET', job_key(id), 'total', 'ok', 'bad', 'status')
  if tonumber(f[2]) + tonumber(f[3]) < tonumber(f[1]) then
    changed(id, f[4])
    return f[4]
  end
  local status = 'succeeded'
  if tonumber(f[2]) == 0 then status = 'failed' end
  end_job(id, status)
  return status
end

-- A picture in hand gets its result, 'ok' or 'bad'. Returns the job's status now.
local function commit(id, index, kind, text)
  local key = job_key(id)
  redis.call('HSET', key, 'r' .. index, text)
  redis.call('HINCRBY', key, kind, 1)
  redis.call('HINCRBY', key, 'run', -1)
  local f = redis.call('HMGET', key, 'model', 'total')
  redis.call('HINCRBY', STATS, 'pictures:' .. f[1] .. ':' .. kind, 1)
  if f[2] ~= '1' then redis.call('RPUSH', done_key(id), index) end
  return settle(id)
end

-- A claimed picture goes back to the queue, as the next of its job.
local function put_back(id, index)
  local key = job_key(id)
  local f = redis.call('HMGET', key, 'model', 'score', 'status', 'owner')
  local owner = f[4] or DEFAULT_OWNER
  redis.call('LPUSH', todo_key(id), index)
  redis.call('HINCRBY', key, 'ret', 1)
  redis.call('HINCRBY', key, 'run', -1)
  waits(f[1], owner, 1)
  enqueue(f[1], owner, f[2], id)
  changed(id, f[3])
end

-- A claimed picture ended what worked on it. It goes back to the queue while attempts are left; else it fails as poison
-- and is listed as dead. `why` is the last word of the reason. Until WARY is gone, workers decode in child processes.
-- Returns 'again' or the job's status now.
local WARY_MS = 60000
local function attempt_failed(id, index, attempts_allowed, title, why)
  redis.call('SET', WARY, 1, 'PX', WARY_MS)
  local key = job_key(id)
  local f = redis.call('HMGET', key, 'a' .. index, 'h' .. index, 'p' .. index)
  local attempts = tonumber(f[1]) - tonumber(f[2] or '0')
  if attempts < attempts_allowed then
    put_back(id, index)
    return 'again'
  end
  local result = {
    index = tonumber(index), status = 'failed', attempts = attempts, id = cjson.decode(f[3]).id,
    error = { code = 'poison', title = title, detail = 'Given up after ' .. attempts .. ' attempts; the last: ' .. why },
  }
  redis.call('ZADD', DEAD, NOW, id .. '/' .. index)
  return commit(id, index, 'bad', cjson.encode(result))
end
