-- How many threads are to be called to work.

-- Whether tokens of other models wait for a thread, or webhooks that are due.
local function wanted_elsewhere(model)
  local tokens = redis.call('HGETALL', TOKENS)
  for at = 1, #tokens, 2 do
    if tokens[at] ~= model and tonumber(tokens[at + 1]) > 0 then return true end
  end
  return #redis.call('ZRANGEBYSCORE', HOOKS, '-inf', NOW, 'LIMIT', 0, 1) > 0
end

-- Threads that ran out of pictures wait a moment, blocked on a list; an element wakes one, for a tenth of what a token
-- costs. An element that nobody took (its thread has died) goes by itself, and the sweeper corrects the count.
--   lingering:<model>   threads by the time until which they wait        wake:<model>   the list
local WAKE_MS = 1000
local function lingering_key(model) return P .. 'lingering:' .. model end
local function wake_key(model) return P .. 'wake:' .. model end
local function wake_lingering(model, most)
  local woken = 0
  while woken < most do
    local last = redis.call('ZPOPMAX', lingering_key(model))
    if not last[1] or tonumber(last[2]) <= NOW then break end
    redis.call('RPUSH', wake_key(model), 1)
    woken = woken + 1
  end
  if woken > 0 then redis.call('PEXPIRE', wake_key(model), WAKE_MS) end
  return woken
end

-- Tokens for a model: as many as pictures wait, up to a bound, less those on their way already. A token that is
-- taken works until nothing waits, so under load hardly any are needed. Counts the new ones as on their way; threads
-- that can be woken stand for tokens. Returns how many are to be published.
local function tokens_due(model, most)
  local waiting = tonumber(redis.call('HGET', PENDING, model) or '0')
  local due = math.min(waiting, most) - tonumber(redis.call('HGET', TOKENS, model) or '0')
  if due <= 0 then return 0 end
  redis.call('HINCRBY', TOKENS, model, due)
  return due - wake_lingering(model, due)
end
