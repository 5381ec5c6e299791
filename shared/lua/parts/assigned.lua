-- Aliases set over HTTP: a hash of "<edition> <version> <owner who asked>" by "<model>@<alias>"; '' is the last edition.
local function assigned_key() return P .. 'aliases' end
-- The edition of a change made now: later than every one before, also when the clock was set back.
local function next_edition()
  local edition = math.max(NOW, tonumber(redis.call('HGET', assigned_key(), '') or 0) + 1)
  redis.call('HSET', assigned_key(), '', string.format('%d', edition))
  return edition
end
