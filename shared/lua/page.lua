#!lua flags=no-writes
-- ARGV: prefix, created ms or '+inf', job id or '', count, owner. Newest first, from just after the named job; jobs of one
-- millisecond come in reverse order of their ids, as the index sorts them. Returns {{id, created}, ...}.
local from, after, count = ARGV[2], ARGV[3], tonumber(ARGV[4])
local out, offset = {}, 0
while #out < count do
  local rows = redis.call('ZREVRANGEBYSCORE', jobs_key(ARGV[5]), from, '-inf', 'WITHSCORES', 'LIMIT', offset, count + 1)
  if #rows == 0 then break end
  offset = offset + #rows / 2
  for at = 1, #rows, 2 do
    if #out < count and (after == '' or rows[at + 1] ~= from or rows[at] < after) then
      out[#out + 1] = { rows[at], tonumber(rows[at + 1]) }
    end
  end
end
return out
