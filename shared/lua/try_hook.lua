-- with: quotas deliveries
-- ARGV: prefix, owner, name, event, url, endpoint, s that it is kept. A test of an endpoint waits for its one attempt.
-- Returns 0, or ms until the owner may test again.
local owner, key = ARGV[2], hook_key(ARGV[3])
local early = spend_call(owner)
if early > 0 then return early end
redis.call('HSET', key, 'job', '', 'owner', owner, 'event', ARGV[4], 'url', ARGV[5], 'to', ARGV[6], 'at', NOW,
  'state', 'pending', 'round', 0, 'tries', 0, 'made', 0, 'next', NOW)
redis.call('EXPIRE', key, ARGV[7])
outbox(ARGV[6], ARGV[3])
return 0
