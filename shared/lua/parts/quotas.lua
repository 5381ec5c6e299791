-- What one owner may use, and what all together.

-- A token bucket of an owner: `burst` at once, refilled at `rate` a second. Takes one and returns {how many are left, or -1
-- where there is no bound}, or {-2, ms until there is one}.
local function spend(theirs, rate, burst)
  if rate <= 0 then return { -1 } end
  local f = redis.call('HMGET', theirs, 'level', 'at')
  local level = math.min(burst, tonumber(f[1] or burst) + (NOW - tonumber(f[2] or NOW)) * rate / 1000)
  if level < 1 then return { -2, math.ceil((1 - level) * 1000 / rate) } end
  redis.call('HSET', theirs, 'level', string.format('%.3f', level - 1), 'at', NOW)
  return { math.floor(level - 1) }
end

-- Whether a job may come in with so many pictures that wait. Bounds of the owner, 0: none: jobs a second, burst, open jobs, waiting
-- pictures. Returns what `spend` does, or {-1, waiting} the queue is full, {-3, open} and {-4, waiting} the owner has
-- enough. What is refused by one of these has cost its token, too.
local function admit(model, owner, pictures, rate, burst, most_open, most_waiting, bound)
  local theirs = owner_key(owner)
  local spent = spend(theirs, rate, burst)
  if spent[2] then return spent end
  local f = redis.call('HMGET', theirs, 'open', 'waiting')
  local open, waits_now = tonumber(f[1] or '0'), tonumber(f[2] or '0')
  if most_open > 0 and open >= most_open then return { -3, open } end
  if most_waiting > 0 and waits_now + pictures > most_waiting then return { -4, waits_now } end
  local waiting = tonumber(redis.call('HGET', PENDING, model) or '0')
  if waiting + pictures > bound then return { -1, waiting } end
  return spent
end

-- One from the owner's bucket for tests, redeliveries and rotations. Returns ms until there is one; 0: it was had.
local CALLS, CALL_MS = 30, 2000
local function spend_call(owner)
  local key = owner_key(owner)
  local f = redis.call('HMGET', key, 'calls', 'calls_at')
  local level = math.min(CALLS, tonumber(f[1] or CALLS) + (NOW - tonumber(f[2] or NOW)) / CALL_MS)
  if level < 1 then return math.ceil((1 - level) * CALL_MS) end
  redis.call('HSET', key, 'calls', string.format('%.3f', level - 1), 'calls_at', NOW)
  return 0
end
