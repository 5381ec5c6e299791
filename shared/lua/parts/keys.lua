-- In every script: key names, the clock, and what is said of jobs everywhere.
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
