#!lua flags=no-writes
-- ARGV: prefix, references. Description JSON of each, or false.
local out = {}
for at = 2, #ARGV do out[#out + 1] = redis.call('HGET', P .. 'versions', ARGV[at]) end
return out
