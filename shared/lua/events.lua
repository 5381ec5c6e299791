#!lua flags=no-writes
-- ARGV: prefix, most pictures a job, bytes of results for all jobs together, then in turn: id, the round and the pictures
-- (a place in the order of results) that a listener has seen.
-- Returns per listener: false, or {owner, status, queued, started or false, finished or false, total, ok, bad, gone,
-- round, 1 where the listener has seen what is not there, pictures seen before these and with them, 1 where more are
-- there, {{pictures seen with it, result}, ...}}. Of unseen results a job gives one at least, however large.
local most, room = tonumber(ARGV[2]), tonumber(ARGV[3])

-- The next indexes in the order of results from place `first` on, and how many places there are. One picture needs no list.
local function order(id, total, round, first)
  if total > 1 then
    local done = done_key(id)
    return redis.call('LRANGE', done, first, first + most - 1), redis.call('LLEN', done)
  end
  local places = round + redis.call('HEXISTS', job_key(id), 'r0')
  return places > first and { '0' } or {}, places, places - 1
end

local function news(id, seen_round, seen)
  local key = job_key(id)
  local f = redis.call('HMGET', key, 'owner', 'status', 'created', 'started', 'finished', 'total', 'ok', 'bad', 'gone', 'round', 'queued')
  if not f[2] then return false end
  local total, round, lost = tonumber(f[6]), tonumber(f[10] or '0'), 0
  local indexes, places, only = order(id, total, round, seen)
  if seen_round > round or seen > places then
    seen, lost = 0, 1
    indexes, places, only = order(id, total, round, 0)
  end
  if only then seen = math.max(seen, only) end
  local results, before = {}, seen
  for _, index in ipairs(indexes) do
    local text = redis.call('HGET', key, 'r' .. index)
    if text then
      if #results > 0 and room < #text then break end
      room = room - #text
      results[#results + 1] = { seen + 1, text }
    end
    seen = seen + 1
  end
  return { f[1] or DEFAULT_OWNER, f[2], f[11] or f[3], f[4], f[5], total, f[7], f[8], f[9], round, lost, before, seen,
    seen < places and 1 or 0, results }
end

local out = {}
for at = 4, #ARGV, 3 do
  out[#out + 1] = news(ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
end
return out
