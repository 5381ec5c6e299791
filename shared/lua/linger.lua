-- with: turns tokens
-- ARGV: prefix, model, thread, ms. A thread that found nothing is about to wait on the list of those to be woken.
-- Returns 0 where it shall not: pictures wait after all, or somebody else waits for a thread.
if next_in_turn(ARGV[2]) or wanted_elsewhere(ARGV[2]) then return 0 end
local key = lingering_key(ARGV[2])
redis.call('ZADD', key, NOW + tonumber(ARGV[4]), ARGV[3])
redis.call('PEXPIRE', key, ARGV[4])
return 1
