-- ARGV: prefix, key id, owner, KeyRecord JSON, most active keys of one owner, most keys. 1, or 0 where there are enough.
-- Expired keys of the owner are forgotten on the way.
local keys, active = P .. 'keys', 0
for _, text in ipairs(redis.call('HVALS', keys)) do
  local record = cjson.decode(text)
  if record.owner == ARGV[3] then
    local ends = type(record.expires_ms) == 'number' and record.expires_ms
    if ends and ends <= NOW then
      redis.call('HDEL', keys, record.id)
      redis.call('HDEL', P .. 'keys:used', record.id)
    else
      active = active + 1
    end
  end
end
if active >= tonumber(ARGV[5]) or redis.call('HLEN', keys) >= tonumber(ARGV[6]) then return 0 end
redis.call('HSET', keys, ARGV[2], ARGV[4])
return 1
