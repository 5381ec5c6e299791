#!lua flags=no-writes
-- with: turns
-- ARGV: prefix. Returns {{model, pictures waiting, jobs waiting, age of the oldest head in ms}, ...} for models with work.
local out, pending = {}, redis.call('HGETALL', PENDING)
for at = 1, #pending, 2 do
  local model, waiting = pending[at], tonumber(pending[at + 1])
  if waiting > 0 then
    local jobs, age = 0, 0
    for _, owner in ipairs(redis.call('ZRANGE', turns_key(model), 0, -1)) do
      local queue = queue_key(model, owner)
      local head = redis.call('ZRANGE', queue, 0, 0)
      jobs = jobs + redis.call('ZCARD', queue)
      if head[1] then age = math.max(age, NOW - tonumber(redis.call('HGET', job_key(head[1]), 'created') or NOW)) end
    end
    out[#out + 1] = { model, waiting, jobs, age }
  end
end
return out
