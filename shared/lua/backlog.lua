-- ARGV: prefix. Returns {{model, pictures waiting, jobs waiting, age of the head in ms}, ...} for models with work.
local out, pending = {}, redis.call('HGETALL', PENDING)
for at = 1, #pending, 2 do
  local queue, waiting = QUEUE .. pending[at], tonumber(pending[at + 1])
  if waiting > 0 then
    local head, age = redis.call('ZRANGE', queue, 0, 0), 0
    if head[1] then age = NOW - tonumber(redis.call('HGET', job_key(head[1]), 'created') or NOW) end
    out[#out + 1] = { pending[at], waiting, redis.call('ZCARD', queue), age }
  end
end
return out
