-- How long the bytes of an upload live on after its picture succeeded, s. Large ones shorter in proportion, so that what a steady
-- flow of finished pictures takes depends on their number alone.
local KEPT_IN_FULL = 256 * 1024
local function kept_s(seconds, bytes)
  if bytes <= KEPT_IN_FULL then return seconds end
  return math.max(1, math.floor(seconds * KEPT_IN_FULL / bytes))
end
