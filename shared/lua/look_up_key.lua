#!lua flags=allow-oom
-- ARGV: prefix, key id. The KeyRecord's JSON, or nothing when there is no such key or it has expired. Notes the use.
local text = redis.call('HGET', P .. 'keys', ARGV[2])
if not text then return false end
local ends = cjson.decode(text).expires_ms
if type(ends) == 'number' and ends <= NOW then return false end
redis.call('HSET', P .. 'keys:used', ARGV[2], NOW)
return text
