-- ARGV: prefix, id, doc, model, total, age boost ms, deadline s, retain s, queue bound, hook JSON or '',
--       most tokens, number of blobs, blob ttl s, then blob names and bytes in turn, then one source per picture.
-- Returns {created ms, tokens to publish}, or {-1, waiting} when the queue is full. Accepting the same id again changes
-- nothing.
local id, model, total = ARGV[2], ARGV[4], tonumber(ARGV[5])
local key = job_key(id)
local before = redis.call('HGET', key, 'created')
if before then return { tonumber(before), 0 } end
local waiting = tonumber(redis.call('HGET', PENDING, model) or '0')
if waiting + total > tonumber(ARGV[9]) then return { -1, waiting } end

local blobs, ttl = tonumber(ARGV[12]), tonumber(ARGV[13])
local at = 14
for _ = 1, blobs do
  redis.call('SET', blob_key(ARGV[at]), ARGV[at + 1], 'EX', ttl)
  at = at + 2
end
local score, deadline = NOW - tonumber(ARGV[6]), NOW + tonumber(ARGV[7]) * 1000
redis.call('HSET', key, 'doc', ARGV[3], 'model', model, 'total', total, 'score', score, 'created', NOW,
  'deadline', deadline, 'retain', ARGV[8], 'status', 'queued', 'ver', 1, 'next', 0, 'ret', 0, 'tries', 0,
  'run', 0, 'ok', 0, 'bad', 0, 'gone', 0)
if ARGV[10] ~= '' then redis.call('HSET', key, 'hook', ARGV[10]) end
for k = 0, total - 1 do
  redis.call('HSET', key, 'p' .. k, ARGV[at + k])
end
redis.call('ZADD', QUEUE .. model, score, id)
redis.call('HINCRBY', PENDING, model, total)
redis.call('ZADD', DEADLINES, deadline, id)
redis.call('ZADD', JOBS, NOW, id)
redis.call('HINCRBY', STATS, 'accepted:' .. model, 1)
return { NOW, tokens_due(model, tonumber(ARGV[11])) }
