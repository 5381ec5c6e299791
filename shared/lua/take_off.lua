#!lua flags=allow-oom
-- with: uploads
-- ARGV: prefix, id, index, upload or '', ttl s, new id. The picture was taken in again: it leaves the dead-letter list, and its
-- upload lives as long as its new job needs it, also where the old one is tried again. 1 when it was still in the list.
if ARGV[4] ~= '' then
  prolong(redis.call('HGET', job_key(ARGV[6]), 'owner') or DEFAULT_OWNER, ARGV[4], tonumber(ARGV[5]))
  for id, index in pairs({ [ARGV[2]] = ARGV[3], [ARGV[6]] = 0 }) do
    if redis.call('EXISTS', job_key(id)) == 1 then redis.call('HSET', job_key(id), 's' .. index, 1) end
  end
end
return redis.call('ZREM', DEAD, ARGV[2] .. '/' .. ARGV[3])
