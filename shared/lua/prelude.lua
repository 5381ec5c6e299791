-- Shared by every script: key names, the clock, and the one way in which a job ends.
-- ARGV[1] is always the key prefix, so that the same scripts serve several stores in one server.
-- Who may touch a family of keys says spotter/valkey.acl; a new one belongs there too.
local P = ARGV[1]
local QUEUE, LEASES, PENDING = P .. 'queue:', P .. 'leases', P .. 'pending'
local TOKENS = P .. 'tokens'
local DEADLINES, EXPIRY = P .. 'deadlines', P .. 'expiry'
local HOOKS, DEAD, STATS, EVENTS = P .. 'hooks', P .. 'dead', P .. 'stats', P .. 'events'
local WARY, SWEPT = P .. 'wary', P .. 'swept'

local function job_key(id) return P .. 'job:' .. id end
local function todo_key(id) return P .. 'todo:' .. id end
local function done_key(id) return P .. 'done:' .. id end
local function hook_key(hook) return P .. 'hook:' .. hook end
local function blob_key(blob) return P .. 'blob:' .. blob end
-- A note of a result that may answer again: "<job id>/<picture index>", by owner, name@version, and digest of bytes and options.
local function note_key(owner, reference, digest) return P .. 'note:' .. owner .. ':' .. reference .. ':' .. digest end
local function drawn_key(id, k) return blob_key('drawn_' .. id .. '_' .. k) end
local function idempotency_key(owner, digest) return P .. 'idem:' .. owner .. ':' .. digest end

-- Owners: whose a job is. Jobs of the default one carry no name. A queue is that of one owner for one model; lists of
-- jobs are by owner as well, and so are the counts that quotas look at (waiting: pictures; open: jobs not ended).
local DEFAULT_OWNER = 'default'
local function owner_key(owner) return P .. 'owner:' .. owner end
local function jobs_key(owner) return P .. 'jobs:' .. owner end
local function queue_key(model, owner) return QUEUE .. model .. ':' .. owner end
-- Whether the job is there for `owner`; '' stands for the service itself, which may see all.
local function is_theirs(owner, key)
  if owner == '' then return redis.call('EXISTS', key) == 1 end
  local f = redis.call('HMGET', key, 'status', 'owner')
  return f[1] and (f[2] or DEFAULT_OWNER) == owner
end

local time = redis.call('TIME')
local NOW, NOW_US = time[1] * 1000 + math.floor(time[2] / 1000), time[1] * 1000000 + time[2]

local function is_final(status)
  return status == 'succeeded' or status == 'failed' or status == 'canceled' or status == 'expired'
end

-- Members of the leases and of the dead-letter list are "<job id>/<picture index>".
local function split(member)
  return string.match(member, '^(.+)/(%d+)$')
end

-- Take the first `count` pictures of a job out of one of these indexes.
local function take_out(index, id, count)
  for first = 0, count - 1, 1000 do
    local members = {}
    for k = first, math.min(first + 1000, count) - 1 do members[#members + 1] = id .. '/' .. k end
    redis.call('ZREM', index, unpack(members))
  end
end

-- Count one change of the job and tell whoever waits for it: "<id> <status> <version>".
local function changed(id, status)
  local version = redis.call('HINCRBY', job_key(id), 'ver', 1)
  redis.call('PUBLISH', EVENTS, id .. ' ' .. status .. ' ' .. version)
end

-- Turns between the owners that wait for a model (start-time fair queueing; Goyal, Vin and Cheng, SIGCOMM 1996): each has a
-- count of pictures served, the smallest one is next, and whoever comes anew starts where the last one taken stood. So an
-- owner with a thousand jobs waiting does not delay another's first one.
--   turns:<model>   owner by count, of those that wait        served:<model>   count by owner of those that left; '': the last
local function turns_key(model) return P .. 'turns:' .. model end
local function served_key(model) return P .. 'served:' .. model end

local function enqueue(model, owner, score, id)
  redis.call('ZADD', queue_key(model, owner), score, id)
  if not redis.call('ZSCORE', turns_key(model), owner) then
    local f = redis.call('HMGET', served_key(model), '', owner)
    redis.call('ZADD', turns_key(model), math.max(tonumber(f[1] or '0'), tonumber(f[2] or '0')), owner)
  end
end

-- The owner whose turn it is and the first job of its queue; nothing when nobody waits.
local function next_in_turn(model)
  while true do
    local first = redis.call('ZRANGE', turns_key(model), 0, 0, 'WITHSCORES')
    if #first == 0 then return end
    local head = redis.call('ZRANGE', queue_key(model, first[1]), 0, 0)
    if head[1] then return first[1], head[1] end
    redis.call('ZREM', turns_key(model), first[1])
    redis.call('HSET', served_key(model), first[1], first[2])
  end
end

-- Pictures of an owner were taken in its turn.
local function took_turn(model, owner, pictures)
  local count = redis.call('ZINCRBY', turns_key(model), pictures, owner)
  redis.call('HSET', served_key(model), '', tonumber(count) - pictures)
end

-- So many more pictures wait, or fewer.
local function waits(model, owner, pictures)
  redis.call('HINCRBY', PENDING, model, pictures)
  redis.call('HINCRBY', owner_key(owner), 'waiting', pictures)
end

-- A token bucket of an owner: `burst` at once, refilled at `rate` a second. Takes one and returns {how many are left, or -1
-- where there is no bound}, or {-2, ms until there is one}.
local function spend(theirs, rate, burst)
  if rate <= 0 then return { -1 } end
  local f = redis.call('HMGET', theirs, 'level', 'at')
  local level = math.min(burst, tonumber(f[1] or burst) + (NOW - tonumber(f[2] or NOW)) * rate / 1000)
  if level < 1 then return { -2, math.ceil((1 - level) * 1000 / rate) } end
  redis.call('HSET', theirs, 'level', string.format('%.3f', level - 1), 'at', NOW)
  return { math.floor(level - 1) }
end

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

-- Whether a job may come in with so many pictures that wait. Bounds of the owner, 0: none: jobs a second, burst, open jobs, waiting
-- pictures. Returns what `spend` does, or {-1, waiting} the queue is full, {-3, open} and {-4, waiting} the owner has
-- enough. What is refused by one of these has cost its token, too.
local function admit(model, owner, pictures, rate, burst, most_open, most_waiting, bound)
  local theirs = owner_key(owner)
  local spent = spend(theirs, rate, burst)
  if spent[2] then return spent end
  local f = redis.call('HMGET', theirs, 'open', 'waiting')
  local open, waits_now = tonumber(f[1] or '0'), tonumber(f[2] or '0')
  if most_open > 0 and open >= most_open then return { -3, open } end
  if most_waiting > 0 and waits_now + pictures > most_waiting then return { -4, waits_now } end
  local waiting = tonumber(redis.call('HGET', PENDING, model) or '0')
  if waiting + pictures > bound then return { -1, waiting } end
  return spent
end

-- Whether tokens of other models wait for a thread, or webhooks that are due.
local function wanted_elsewhere(model)
  local tokens = redis.call('HGETALL', TOKENS)
  for at = 1, #tokens, 2 do
    if tokens[at] ~= model and tonumber(tokens[at + 1]) > 0 then return true end
  end
  return #redis.call('ZRANGEBYSCORE', HOOKS, '-inf', NOW, 'LIMIT', 0, 1) > 0
end

-- Threads that ran out of pictures wait a moment, blocked on a list; an element wakes one, for a tenth of what a token
-- costs. An element that nobody took (its thread has died) goes by itself, and the sweeper corrects the count.
--   lingering:<model>   threads by the time until which they wait        wake:<model>   the list
local WAKE_MS = 1000
local function lingering_key(model) return P .. 'lingering:' .. model end
local function wake_key(model) return P .. 'wake:' .. model end
local function wake_lingering(model, most)
  local woken = 0
  while woken < most do
    local last = redis.call('ZPOPMAX', lingering_key(model))
    if not last[1] or tonumber(last[2]) <= NOW then break end
    redis.call('RPUSH', wake_key(model), 1)
    woken = woken + 1
  end
  if woken > 0 then redis.call('PEXPIRE', wake_key(model), WAKE_MS) end
  return woken
end

-- Tokens for a model: as many as pictures wait, up to a bound, less those on their way already. A token that is
-- taken works until nothing waits, so under load hardly any are needed. Counts the new ones as on their way; threads
-- that can be woken stand for tokens. Returns how many are to be published.
local function tokens_due(model, most)
  local waiting = tonumber(redis.call('HGET', PENDING, model) or '0')
  local due = math.min(waiting, most) - tonumber(redis.call('HGET', TOKENS, model) or '0')
  if due <= 0 then return 0 end
  redis.call('HINCRBY', TOKENS, model, due)
  return due - wake_lingering(model, due)
end

-- Webhooks. Each delivery waits at its endpoint (scheme, host and port), and `hooks` says when which endpoint is to be looked
-- at next: so what waits at a dead one stands in nobody's way. Its owner's log holds the newest deliveries.
--   hook:<name>            a delivery: job ('': a test), owner, event, url, to (endpoint), at, state, round, tries (of this
--                          round), made (all), next, log<k>, again (when somebody last asked for it), era (of its job: what
--                          its rounds begin with)
--   rounds:<job>           the last round of the job that somebody was told of, where that is not the first; outlives the job,
--                          as its deliveries do
--   hooks:<endpoint>       deliveries by when they are due        taken:<endpoint>       those in hand, by the lease's end
--   trouble:<endpoint>     there while it gives no answers       gone:<owner>           addresses that answered 410
--   deliveries:<owner>     names by time of the event             undelivered:<owner>    of these the failed and disabled
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

-- Keep a name in one of an owner's lists, and the list within its bound. Returns the name that had to go, if any.
local function list(key, at, name)
  redis.call('ZADD', key, at, name)
  redis.call('EXPIRE', key, LOG_S)
  if redis.call('ZCARD', key) > LOG_MOST then return redis.call('ZPOPMIN', key)[1] end
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
  local oldest = list(log_key(owner), NOW, name)
  if oldest and redis.call('HGET', hook_key(oldest), 'state') == 'delivered' then redis.call('DEL', hook_key(oldest)) end
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
  else
    list(undelivered_key(owner), at, name)
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

-- One from the owner's bucket for tests, redeliveries and rotations. Returns ms until there is one; 0: it was had.
local CALLS, CALL_MS = 30, 2000
local function spend_call(owner)
  local key = owner_key(owner)
  local f = redis.call('HMGET', key, 'calls', 'calls_at')
  local level = math.min(CALLS, tonumber(f[1] or CALLS) + (NOW - tonumber(f[2] or NOW)) / CALL_MS)
  if level < 1 then return math.ceil((1 - level) * CALL_MS) end
  redis.call('HSET', key, 'calls', string.format('%.3f', level - 1), 'calls_at', NOW)
  return 0
end

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
