#!lua flags=no-writes
-- ARGV: prefix, owner, name or name@version, then digests. A name stands for the version that a worker called the default last.
-- Returns {ModelVersion JSON, results in the digests' order}, or {} unless that version gave all of them.
local reference = ARGV[3]
if not string.find(reference, '@', 1, true) then
  local heard = redis.call('HGET', P .. 'heard', reference)
  local default = heard and cjson.decode(heard).default
  if type(default) ~= 'string' then return {} end
  reference = reference .. '@' .. default
end
local out = { false }
for at = 4, #ARGV do
  local note = redis.call('GET', note_key(ARGV[2], reference, ARGV[at]))
  if not note then return {} end
  local id, index = split(note)
  local f = redis.call('HMGET', job_key(id), 'r' .. index, 'by')
  if not f[1] then return {} end
  local by = cjson.decode(f[2])
  if by.name .. '@' .. by.version ~= reference then return {} end -- a bulk job that spanned a switch
  out[1] = f[2]
  out[#out + 1] = f[1]
end
return out
