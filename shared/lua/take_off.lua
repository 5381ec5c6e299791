#!lua flags=allow-oom
-- ARGV: prefix, id, index, upload or '', ttl s. The picture was taken in again: it leaves the dead-letter list, and its upload
-- lives as long as its new job needs it. 1 when it was still in the list.
if ARGV[4] ~= '' and redis.call('TTL', blob_key(ARGV[4])) >= 0 then
  redis.call('EXPIRE', blob_key(ARGV[4]), ARGV[5], 'GT')
end
return redis.call('ZREM', DEAD, ARGV[2] .. '/' .. ARGV[3])
