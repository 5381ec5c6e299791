#!lua flags=allow-oom
-- with: tokens
-- ARGV: prefix, model, tokens seen in the broker, most tokens. Corrects the count of tokens on their way to what was seen
-- (a lost one would be waited for in vain) and returns how many to publish.
redis.call('HSET', TOKENS, ARGV[2], ARGV[3])
return tokens_due(ARGV[2], tonumber(ARGV[4]))
