-- with: turns quotas tokens deliveries keeping ends
-- ARGV: prefix, id, doc, model, total, age boost ms, deadline s, retain s, queue bound, hook JSON or '',
--       most tokens, owner, the owner's bounds (0: none): jobs a second, burst, open jobs, waiting pictures,
--       digest of the idempotency key or '', fingerprint of the request, how long the key is kept in s,
--       number of blobs, blob ttl s, 1 where uploads of the sources were loaded and are to live as long, 1 where the client
--       chose the id, then blob names and bytes in turn, then one source per picture; where earlier results answer it:
--       ModelVersion JSON, then one result per picture.
-- Returns {created ms, tokens to publish, jobs left in the burst or -1}, or why not: {-1, waiting} the queue is full,
-- {-2, ms until there is a job to be had} too fast, {-3, open} and {-4, waiting} the owner has enough, {-5} the id is taken:
-- by another owner, or by another request where the client chose it, {-6, id} the key or the chosen id made that job before,
-- {-7} the key made another one. Accepting the same id again changes nothing.
local id, model, total, owner = ARGV[2], ARGV[4], tonumber(ARGV[5]), ARGV[12]
local key, theirs = job_key(id), owner_key(owner)
local chosen = ARGV[23] == '1'
local before = redis.call('HMGET', key, 'created', 'owner', 'same')
if before[1] then
  if (before[2] or DEFAULT_OWNER) ~= owner then return { -5 } end
  if chosen then return before[3] == ARGV[18] and { -6, id } or { -5 } end
  return { tonumber(before[1]), 0, -1 }
end

local named = ARGV[17] ~= '' and idempotency_key(owner, ARGV[17])
local earlier = named and redis.call('HMGET', named, 'of', 'job')
if earlier and earlier[1] then
  if earlier[1] ~= ARGV[18] then return { -7 } end
  return { -6, earlier[2] }
end

local limits = { tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15]), tonumber(ARGV[16]) }
local admitted = admit(model, owner, total, limits[1], limits[2], limits[3], limits[4], tonumber(ARGV[9]))
if admitted[2] then return admitted end

local blobs, ttl = tonumber(ARGV[20]), tonumber(ARGV[21])
local at = 24
local answered = ARGV[at + 2 * blobs + total]
for _ = 1, blobs do
  redis.call('SET', blob_key(ARGV[at]), ARGV[at + 1], 'EX', answered and kept_s(ttl, #ARGV[at + 1]) or ttl)
  at = at + 2
end
if named then
  redis.call('HSET', named, 'of', ARGV[18], 'job', id)
  redis.call('EXPIRE', named, ARGV[19])
end
if chosen then
  -- What an earlier job of this id may have left whose retention is over.
  take_out(DEAD, id, total)
  for k = 0, total - 1 do redis.call('DEL', drawn_key(id, k)) end
  redis.call('DEL', done_key(id))
  redis.call('ZREM', EXPIRY, owner .. '/' .. id)
  drop_deliveries(id)
  redis.call('HSET', key, 'same', ARGV[18], 'era', NOW_US)
end
local score, deadline = NOW - tonumber(ARGV[6]), NOW + tonumber(ARGV[7]) * 1000
redis.call('HSET', key, 'doc', ARGV[3], 'model', model, 'total', total, 'score', score, 'created', NOW, 'queued', NOW,
  'deadline', deadline, 'retain', ARGV[8], 'status', 'queued', 'ver', 1, 'next', 0, 'ret', 0, 'tries', 0,
  'run', 0, 'ok', 0, 'bad', 0, 'gone', 0)
if ARGV[10] ~= '' then redis.call('HSET', key, 'hook', ARGV[10]) end
if named then redis.call('HSET', key, 'idem', ARGV[17]) end
if owner ~= DEFAULT_OWNER then redis.call('HSET', key, 'owner', owner) end
-- Some hundred fields a call: with a call for each 10,000 take twice as long, and Lua's stack ends at some thousand.
for first = 0, total - 1, 500 do
  local fields = {}
  for k = first, math.min(first + 500, total) - 1 do
    fields[#fields + 1] = 'p' .. k
    fields[#fields + 1] = ARGV[at + k]
  end
  redis.call('HSET', key, unpack(fields))
end
if ARGV[22] == '1' then
  for k = at, at + total - 1 do
    redis.call('EXPIRE', blob_key(string.match(ARGV[k], '^{"upload":"([^"]+)"')), ttl)
  end
end
redis.call('HINCRBY', theirs, 'open', 1)
redis.call('ZADD', DEADLINES, deadline, id)
redis.call('ZADD', jobs_key(owner), NOW, id)
redis.call('HINCRBY', STATS, 'accepted:' .. model, 1)
if answered then
  for k = 0, total - 1 do
    redis.call('HSET', key, 'r' .. k, ARGV[at + total + 1 + k])
    if total > 1 then redis.call('RPUSH', done_key(id), k) end
  end
  redis.call('HSET', key, 'by', answered, 'ok', total, 'next', total, 'started', NOW)
  redis.call('HINCRBY', STATS, 'pictures:' .. model .. ':cached', total)
  end_job(id, 'succeeded')
  return { NOW, 0, admitted[1] }
end
enqueue(model, owner, score, id)
waits(model, owner, total)
return { NOW, tokens_due(model, tonumber(ARGV[11])), admitted[1] }
