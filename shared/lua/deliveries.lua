#!lua flags=no-writes
-- with: deliveries
-- ARGV: prefix, owner, state or '', ms of an event or '+inf', name or '', count, most looked at. An owner's deliveries,
-- newest event first, from just after the named one; those of one millisecond come in reverse order of their names.
-- Returns {last looked at or '', its ms, {{name, fields}, ...}}; '' when there is nothing further to look at.
local owner, state, from, after, count = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local key = (state == 'failed' or state == 'disabled') and undelivered_key(owner) or log_key(owner)
local out, offset, most = {}, 0, tonumber(ARGV[7])
while offset < most do
  local rows = redis.call('ZREVRANGEBYSCORE', key, from, '-inf', 'WITHSCORES', 'LIMIT', offset, count + 1)
  if #rows == 0 then return { '', 0, out } end
  offset = offset + #rows / 2
  for at = 1, #rows, 2 do
    local name, ms = rows[at], rows[at + 1]
    if after == '' or ms ~= from or name < after then
      local is = redis.call('HGET', hook_key(name), 'state')
      if is and (state == '' or is == state) then
        out[#out + 1] = { name, redis.call('HGETALL', hook_key(name)) }
        if #out == count then return { name, ms, out } end
      end
    end
    if offset >= most and at == #rows - 1 then return { name, ms, out } end
  end
end
