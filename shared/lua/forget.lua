#!lua flags=allow-oom
-- ARGV: prefix, number of versions, then the reference of each, then names of models that are gone as a whole.
local versions = tonumber(ARGV[2])
for at = 3, 2 + versions do redis.call('HDEL', P .. 'versions', ARGV[at]) end
for at = 3 + versions, #ARGV do redis.call('HDEL', P .. 'heard', ARGV[at]) end
return 1
