-- with: assigned
-- ARGV: prefix, "<model>@<alias>", version, owner who asks, most aliases. The edition, or -1 where there are enough.
local said = redis.call('HGET', assigned_key(), ARGV[2])
if said then
  local edition, version = string.match(said, '^(%d+) (%S+) ')
  if version == ARGV[3] then return tonumber(edition) end
elseif redis.call('HLEN', assigned_key()) > tonumber(ARGV[5]) then
  return -1
end
local edition = next_edition()
redis.call('HSET', assigned_key(), ARGV[2], string.format('%d %s %s', edition, ARGV[3], ARGV[4]))
return edition
