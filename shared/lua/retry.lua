-- with: turns quotas tokens uploads
-- ARGV: prefix, id, owner or '', most tokens, the owner's bounds (0: none): jobs a second, burst, open jobs, waiting pictures,
--       queue bound, age boost ms, deadline s, blob ttl s, 1 where uploads that are not in the store were found elsewhere.
-- The failed, expired and canceled pictures of a job that has ended wait again; what succeeded stays. Deadline and retention
-- begin anew, and so do the attempts of each; fences go on. Returns {0, tokens to publish, jobs left in the burst or -1}, or
-- why not: what `admit` says, {-5} no such job of theirs, {-6} it has not ended, {-7} every picture succeeded, {-8, {index,
-- upload}, ...} bytes that are not in the store.
local id = ARGV[2]
local key = job_key(id)
if not is_theirs(ARGV[3], key) then return { -5 } end
local f = redis.call('HMGET', key, 'status', 'owner', 'model', 'total', 'next', 'ok')
local owner, model, total, begun, ok = f[2] or DEFAULT_OWNER, f[3], tonumber(f[4]), tonumber(f[5]), tonumber(f[6])
if not is_final(f[1]) then return { -6 } end
if ok == total then return { -7 } end

-- Results are compact JSON, so these characters stand there once: inside a name its quotes are escaped.
local function succeeded(k)
  local text = redis.call('HGET', key, 'r' .. k)
  return text and string.find(text, '"status":"succeeded"', 1, true)
end
local indexes, uploads, gone = {}, {}, { -8 }
for k = 0, total - 1 do
  if k >= begun or not succeeded(k) then
    indexes[#indexes + 1] = k
    local text = redis.call('HGET', key, 'p' .. k)
    if string.sub(text, 1, 10) == '{"upload":' then
      local upload = cjson.decode(text).upload
      uploads[#uploads + 1] = upload
      if redis.call('EXISTS', blob_key(upload)) == 0 then gone[#gone + 1] = { k, upload } end
    end
  end
end
if #gone > 1 and ARGV[13] ~= '1' then return gone end
local admitted = admit(model, owner, #indexes, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]),
  tonumber(ARGV[9]))
if admitted[2] then return admitted end

redis.call('PERSIST', key)
redis.call('ZREM', EXPIRY, owner .. '/' .. id)
local returned, again = 0, {}
for _, k in ipairs(indexes) do
  again[tostring(k)] = true
  local claims = redis.call('HGET', key, 'a' .. k)
  if claims then redis.call('HSET', key, 'h' .. k, claims) end
  redis.call('HDEL', key, 'r' .. k)
  redis.call('ZREM', DEAD, id .. '/' .. k)
  if k < begun then
    redis.call('LPUSH', todo_key(id), k)
    returned = returned + 1
  end
end
-- Their places in the order of results are nobody's, for they get new ones.
local order = redis.call('LRANGE', done_key(id), 0, -1)
redis.call('DEL', done_key(id))
for first = 1, #order, 500 do
  local part = {}
  for at = first, math.min(first + 499, #order) do part[#part + 1] = again[order[at]] and '-' or order[at] end
  redis.call('RPUSH', done_key(id), unpack(part))
end
for _, upload in ipairs(uploads) do prolong(owner, upload, tonumber(ARGV[12])) end
for k = 0, total - 1 do redis.call('EXPIRE', drawn_key(id, k), ARGV[12], 'GT') end
local score, deadline = NOW - tonumber(ARGV[10]), NOW + tonumber(ARGV[11]) * 1000
redis.call('HDEL', key, 'started', 'finished')
redis.call('HINCRBY', key, 'round', 1)
redis.call('HSET', key, 'status', 'queued', 'queued', NOW, 'score', score, 'deadline', deadline, 'ret', returned, 'tries', 0,
  'run', 0, 'bad', 0, 'gone', 0)
enqueue(model, owner, score, id)
waits(model, owner, #indexes)
redis.call('HINCRBY', owner_key(owner), 'open', 1)
redis.call('ZADD', DEADLINES, deadline, id)
redis.call('HINCRBY', STATS, 'retried:' .. model, 1)
changed(id, 'queued')
return { 0, tokens_due(model, tonumber(ARGV[4])), admitted[1] }
