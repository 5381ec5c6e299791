-- Shared by every script: key names, the clock, and the one way in which a job ends.
-- ARGV[1] is always the key prefix, so that the same scripts serve several stores in one server.
local P = ARGV[1]
local QUEUE, LEASES, PENDING = P .. 'queue:', P .. 'leases', P .. 'pending'
local TOKENS = P .. 'tokens'
local DEADLINES, JOBS, EXPIRY = P .. 'deadlines', P .. 'jobs', P .. 'expiry'
local HOOKS, DEAD, STATS, EVENTS = P .. 'hooks', P .. 'dead', P .. 'stats', P .. 'events'
local WARY = P .. 'wary'

local function job_key(id) return P .. 'job:' .. id end
local function todo_key(id) return P .. 'todo:' .. id end
local function hook_key(hook) return P .. 'hook:' .. hook end
local function blob_key(blob) return P .. 'blob:' .. blob end

local time = redis.call('TIME')
local NOW = time[1] * 1000 + math.floor(time[2] / 1000)

local function is_final(status)
  return status == 'succeeded' or status == 'failed' or status == 'canceled' or status == 'expired'
end

-- Lease members are "<job id>/<picture index>".
local function split(member)
  return string.match(member, '^(.+)/(%d+)$')
end

-- Count one change of the job and tell whoever waits for it: "<id> <status> <version>".
local function changed(id, status)
  local version = redis.call('HINCRBY', job_key(id), 'ver', 1)
  redis.call('PUBLISH', EVENTS, id .. ' ' .. status .. ' ' .. version)
end

-- Tokens for a model: as many as pictures wait, up to a bound, less those on their way already. A token that is
-- taken works until nothing waits, so under load hardly any are needed. Counts the new ones as on their way.
local function tokens_due(model, most)
  local waiting = tonumber(redis.call('HGET', PENDING, model) or '0')
  local due = math.min(waiting, most) - tonumber(redis.call('HGET', TOKENS, model) or '0')
  if due <= 0 then return 0 end
  redis.call('HINCRBY', TOKENS, model, due)
  return due
end

-- Fields of a job's hash:
--   doc    JobSpec as JSON, never changed      model, total, score, created, deadline, retain: from it
--   status ver started finished                next: first index never claimed    ret: length of todo
--   tries: most attempts of one picture so far
--   run ok bad: pictures in each state         gone: pictures that ended with the job (canceled, expired)
--   p<k> source, a<k> fence (claims so far), h<k> claims handed back, r<k> result: of picture k
local function end_job(id, status)
  local key = job_key(id)
  local f = redis.call('HMGET', key, 'model', 'total', 'next', 'ret', 'ok', 'bad', 'retain', 'hook')
  local model, total, ok, bad = f[1], tonumber(f[2]), tonumber(f[5]), tonumber(f[6])
  local waiting = total - tonumber(f[3]) + tonumber(f[4])
  if waiting > 0 then redis.call('HINCRBY', PENDING, model, -waiting) end
  redis.call('ZREM', QUEUE .. model, id)
  redis.call('ZREM', DEADLINES, id)
  redis.call('DEL', todo_key(id))
  redis.call('HSET', key, 'status', status, 'finished', NOW, 'run', 0, 'gone', total - ok - bad)
  redis.call('HINCRBY', STATS, 'jobs:' .. model .. ':' .. status, 1)
  local retain = tonumber(f[7])
  redis.call('EXPIRE', key, retain)
  redis.call('ZADD', EXPIRY, NOW + retain * 1000, id)
  if f[8] then
    local hook = cjson.decode(f[8])
    local event = 'job.' .. status
    for _, wanted in ipairs(hook.events) do
      if wanted == event then
        local name = id .. '.' .. event
        redis.call('HSET', hook_key(name), 'job', id, 'event', event, 'url', hook.url, 'at', NOW, 'tries', 0)
        redis.call('ZADD', HOOKS, NOW, name)
      end
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
  redis.call('HINCRBY', STATS, 'pictures:' .. redis.call('HGET', key, 'model') .. ':' .. kind, 1)
  return settle(id)
end

-- A claimed picture goes back to the queue, as the next of its job.
local function put_back(id, index)
  local key = job_key(id)
  local f = redis.call('HMGET', key, 'model', 'score', 'status')
  redis.call('LPUSH', todo_key(id), index)
  redis.call('HINCRBY', key, 'ret', 1)
  redis.call('HINCRBY', key, 'run', -1)
  redis.call('HINCRBY', PENDING, f[1], 1)
  redis.call('ZADD', QUEUE .. f[1], f[2], id)
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
