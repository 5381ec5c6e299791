-- ARGV: prefix, model. A token that has worked long enough goes back to the end of the line: one more is on its way.
return redis.call('HINCRBY', TOKENS, ARGV[2], 1)
