#!lua flags=no-writes
-- with: assigned
-- ARGV: prefix, edition that the caller knows. The edition, and where it is another one, field and value of each alias.
local edition = tonumber(redis.call('HGET', assigned_key(), '') or 0)
local out = { edition }
if edition == tonumber(ARGV[2]) then return out end
local all = redis.call('HGETALL', assigned_key())
for k = 1, #all, 2 do
  if all[k] ~= '' then
    out[#out + 1] = all[k]
    out[#out + 1] = all[k + 1]
  end
end
return out
