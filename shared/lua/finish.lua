#!lua flags=allow-oom
-- with: uploads keeping ends
-- ARGV: prefix, id, index, fence, result JSON, 'ok' or 'bad', ModelVersion JSON, s that an upload lives on after 'ok', at most.
-- Writes one picture's result, once. Returns the job's status now, or '' when the fence is stale.
local id, index = ARGV[2], ARGV[3]
local key, member = job_key(id), ARGV[2] .. '/' .. ARGV[3]
local f = redis.call('HMGET', key, 'status', 'a' .. index)
if not f[1] or f[2] ~= ARGV[4] or not redis.call('ZSCORE', LEASES, member) then return '' end
redis.call('ZREM', LEASES, member)
if is_final(f[1]) then return '' end
redis.call('HSET', key, 'by', ARGV[7])
if ARGV[6] == 'ok' then
  local of = redis.call('HMGET', key, 'p' .. index, 's' .. index)
  local source = cjson.decode(of[1])
  if source.upload and not of[2] and not is_kept(source.upload) then
    local blob = blob_key(source.upload)
    redis.call('EXPIRE', blob, kept_s(tonumber(ARGV[8]), redis.call('STRLEN', blob)), 'LT')
  end
  if source.digest then
    local by, of = cjson.decode(ARGV[7]), redis.call('HMGET', key, 'owner', 'retain')
    redis.call('SET', note_key(of[1] or DEFAULT_OWNER, by.name .. '@' .. by.version, source.digest), member, 'EX', of[2])
  end
end
return commit(id, index, ARGV[6], ARGV[5])
