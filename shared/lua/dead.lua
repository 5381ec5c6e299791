#!lua flags=no-writes
-- ARGV: prefix, ms of death or '+inf', member or '', count. The dead-letter list, newest first, from just after the named
-- entry; those of one millisecond come in reverse order of their names, as the index sorts them. Entries whose job is no longer
-- kept are left out. Returns {{member, died ms, model, source, result}, ...}.
local from, after, count = ARGV[2], ARGV[3], tonumber(ARGV[4])
local out, offset = {}, 0
while #out < count do
  local rows = redis.call('ZREVRANGEBYSCORE', DEAD, from, '-inf', 'WITHSCORES', 'LIMIT', offset, count + 1)
  if #rows == 0 then break end
  offset = offset + #rows / 2
  for at = 1, #rows, 2 do
    if #out < count and (after == '' or rows[at + 1] ~= from or rows[at] < after) then
      local id, index = split(rows[at])
      local f = redis.call('HMGET', job_key(id), 'model', 'p' .. index, 'r' .. index)
      if f[3] then out[#out + 1] = { rows[at], tonumber(rows[at + 1]), f[1], f[2], f[3] } end
    end
  end
end
return out
