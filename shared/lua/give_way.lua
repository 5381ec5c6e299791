#!lua flags=allow-oom
-- with: tokens
-- ARGV: prefix, model, 1 to give way in any case. A thread that has worked on a model for a while asks whether somebody
-- else waits for it: tokens of other models, or webhooks that are due. Then its own token goes back to the end of the
-- line (one more is on its way), and the answer is 1; else 0: a token costs all processes together about a millisecond.
if ARGV[3] ~= '1' and not wanted_elsewhere(ARGV[2]) then return 0 end
redis.call('HINCRBY', TOKENS, ARGV[2], 1)
return 1
