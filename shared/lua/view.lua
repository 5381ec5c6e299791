#!lua flags=no-writes
-- ARGV: prefix, owner or '' (anybody's), most results inline, then ids. Returns per id: false, or
-- {doc, status, created, started, finished, deadline, retain, next, ret, run, ok, bad, gone, ver, by, tries, rank,
--  {{result or false, lease or false, source}, ...}, queued}.
local out, asks, most = {}, ARGV[2], tonumber(ARGV[3])
for at = 4, #ARGV do
  local key = job_key(ARGV[at])
  local f = redis.call('HMGET', key, 'doc', 'status', 'created', 'started', 'finished', 'deadline', 'retain',
    'next', 'ret', 'run', 'ok', 'bad', 'gone', 'ver', 'by', 'tries', 'model', 'total', 'owner', 'queued')
  local owner = f[19] or DEFAULT_OWNER
  if not f[1] or (asks ~= '' and asks ~= owner) then
    out[#out + 1] = false
  else
    local total = tonumber(f[18])
    local rank = false
    if f[2] == 'queued' then rank = redis.call('ZRANK', queue_key(f[17], owner), ARGV[at]) end
    local results = {}
    if total <= most then
      for k = 0, total - 1 do
        local r = redis.call('HMGET', key, 'r' .. k, 'p' .. k)
        results[#results + 1] = { r[1], redis.call('ZSCORE', LEASES, ARGV[at] .. '/' .. k), r[2] }
      end
    end
    out[#out + 1] = { f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10], f[11], f[12], f[13], f[14], f[15], f[16],
      rank, results, f[20] }
  end
end
return out
