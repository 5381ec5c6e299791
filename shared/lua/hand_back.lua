#!lua flags=allow-oom
-- with: ends
-- ARGV: prefix, then id, index, fence in threes. A worker that stops gives back what it has not begun: no attempt
-- is counted. Returns how many were still its own.
local n = 0
for at = 2, #ARGV, 3 do
  local id, index = ARGV[at], ARGV[at + 1]
  local key, member = job_key(id), ARGV[at] .. '/' .. ARGV[at + 1]
  local f = redis.call('HMGET', key, 'status', 'a' .. index)
  if f[1] and f[2] == ARGV[at + 2] and redis.call('ZREM', LEASES, member) == 1 and not is_final(f[1]) then
    redis.call('HINCRBY', key, 'h' .. index, 1)
    put_back(id, index)
    n = n + 1
  end
end
return n
