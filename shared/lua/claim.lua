#!lua flags=allow-oom
-- with: turns ends
-- ARGV: prefix, model, most pictures, lease ms, 1 for the first claim of a token (it is on its way no more).
-- Takes the next pictures of the first job of the owner whose turn it is: one; several while a bulk job has many left; a
-- picture that came back from a dead worker always alone. Returns {} or {doc, queued, now, 1 while workers are wary (one died),
-- {index, source, fence, attempts, bytes or false}, ...}: the bytes of uploads that the store keeps come along, up to ROOM.
local ROOM = 4 * 1024 * 1024
local most = tonumber(ARGV[3])
local lease_end = NOW + tonumber(ARGV[4])
if ARGV[5] == '1' and tonumber(redis.call('HGET', TOKENS, ARGV[2]) or '0') > 0 then
  redis.call('HINCRBY', TOKENS, ARGV[2], -1)
end
while true do
  local owner, id = next_in_turn(ARGV[2])
  if not id then return {} end
  local queue, key = queue_key(ARGV[2], owner), job_key(id)
  local f = redis.call('HMGET', key, 'doc', 'created', 'total', 'next', 'ret', 'status', 'deadline', 'tries', 'era', 'queued')
  if not f[1] then
    redis.call('ZREM', queue, id)
  elseif tonumber(f[7]) <= NOW then
    end_job(id, 'expired')
  else
    local total, first, returned = tonumber(f[3]), tonumber(f[4]), tonumber(f[5])
    local indexes = {}
    if returned > 0 then
      indexes[1] = redis.call('RPOP', todo_key(id))
      returned = redis.call('HINCRBY', key, 'ret', -1)
    else
      -- an eighth of the rest at most, so that all workers share the tail
      local n = math.max(1, math.min(most, math.ceil((total - first) / 8)))
      for k = first, first + n - 1 do indexes[#indexes + 1] = tostring(k) end
      first = first + n
      redis.call('HSET', key, 'next', first)
    end
    if first >= total and returned == 0 then redis.call('ZREM', queue, id) end
    waits(ARGV[2], owner, -#indexes)
    took_turn(ARGV[2], owner, #indexes)
    redis.call('HINCRBY', key, 'run', #indexes)
    local out, tries, room = { f[1], tonumber(f[10] or f[2]), NOW, redis.call('EXISTS', WARY) }, tonumber(f[8]), ROOM
    for _, index in ipairs(indexes) do
      local fence = redis.call('HINCRBY', key, 'a' .. index, 1)
      if fence == 1 and f[9] then
        fence = tonumber(f[9]) + 1
        redis.call('HSET', key, 'a' .. index, fence, 'h' .. index, f[9])
      end
      redis.call('ZADD', LEASES, lease_end, id .. '/' .. index)
      local of = redis.call('HMGET', key, 'p' .. index, 'h' .. index)
      local attempts = fence - tonumber(of[2] or '0')
      tries = math.max(tries, attempts)
      local upload, bytes = cjson.decode(of[1]).upload, false
      if upload and redis.call('STRLEN', blob_key(upload)) <= room then
        bytes = redis.call('GET', blob_key(upload))
        room = room - (bytes and #bytes or 0)
      end
      out[#out + 1] = { tonumber(index), of[1], fence, attempts, bytes }
    end
    redis.call('HSET', key, 'tries', tries)
    if f[6] == 'queued' then
      redis.call('HSET', key, 'status', 'running', 'started', NOW)
      changed(id, 'running')
    end
    return out
  end
end
