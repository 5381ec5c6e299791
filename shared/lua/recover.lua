-- with: quotas deliveries
-- ARGV: prefix, owner, from ms, until ms, most looked at. Sends the owner's failed and disabled deliveries of events of
-- that time again, oldest first. Returns {sent, lost, ms to go on from or 0}, lost: of jobs no longer kept; or {-1, ms} too soon.
local owner, from, most = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[5])
local early = spend_call(owner)
if early > 0 then return { -1, early } end
local rows = redis.call('ZRANGEBYSCORE', undelivered_key(owner), from, ARGV[4], 'WITHSCORES', 'LIMIT', 0, most)
local sent, lost = 0, 0
for at = 1, #rows, 2 do
  local job = redis.call('HGET', hook_key(rows[at]), 'job')
  if job and redis.call('EXISTS', job_key(job)) == 1 then
    send_again(rows[at])
    sent = sent + 1
  else
    lost = lost + 1
  end
end
if #rows < 2 * most then return { sent, lost, 0 } end
local last = tonumber(rows[#rows])
return { sent, lost, last == from and last + 1 or last }
