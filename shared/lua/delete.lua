#!lua flags=allow-oom
-- with: uploads deliveries ends
-- ARGV: prefix, id, owner or '', 1 to leave the record for now. Nothing of the job is left: what runs of it is ended and will
-- not be written, nobody is told of it any more, its idempotency key is free. With its record left it has ended, and its
-- pictures are gone. Returns 0 (no such job of theirs), or the names of uploads and drawn pictures that it may have and
-- that were not in the store.
local id = ARGV[2]
local key = job_key(id)
if not is_theirs(ARGV[3], key) then return 0 end
if not is_final(redis.call('HGET', key, 'status')) then end_job(id, 'canceled') end
local f = redis.call('HMGET', key, 'owner', 'total', 'idem', 'doc', 'model', 'by')
local owner, total, model = f[1] or DEFAULT_OWNER, tonumber(f[2]), string.match(f[5], '^[^@]+')
local draws, elsewhere = (cjson.decode(f[4]).options or {}).draw, {}
local last = f[6] and cjson.decode(f[6]).version

-- The note that says that the result of picture k may answer again.
local function drop_note(k, digest)
  local result = redis.call('HGET', key, 'r' .. k)
  local version = result and (string.match(result, '"version":"([^"]+)"') or last)
  if not version then return end
  local note = note_key(owner, model .. '@' .. version, digest)
  if redis.call('GET', note) == id .. '/' .. k then redis.call('DEL', note) end
end

for k = 0, total - 1 do
  local text = redis.call('HGET', key, 'p' .. k)
  if string.sub(text, 1, 10) == '{"upload":' then
    local source = cjson.decode(text)
    if not is_kept(source.upload) and redis.call('DEL', blob_key(source.upload)) == 0 then
      elsewhere[#elsewhere + 1] = source.upload
    end
    if source.digest then drop_note(k, source.digest) end
  end
  if draws and redis.call('DEL', drawn_key(id, k)) == 0 then elsewhere[#elsewhere + 1] = 'drawn_' .. id .. '_' .. k end
end
if ARGV[4] == '1' then return elsewhere end
take_out(LEASES, id, total)
take_out(DEAD, id, total)
drop_deliveries(id)
if f[3] and redis.call('HGET', idempotency_key(owner, f[3]), 'job') == id then
  redis.call('DEL', idempotency_key(owner, f[3]))
end
redis.call('ZREM', jobs_key(owner), id)
redis.call('ZREM', EXPIRY, owner .. '/' .. id)
redis.call('UNLINK', key, todo_key(id), done_key(id))
return elsewhere
