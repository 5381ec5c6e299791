-- Turns between the owners that wait for a model (start-time fair queueing; Goyal, Vin and Cheng, SIGCOMM 1996): each has a
-- count of pictures served, the smallest one is next, and whoever comes anew starts where the last one taken stood. So an
-- owner with a thousand jobs waiting does not delay another's first one.
--   turns:<model>   owner by count, of those that wait        served:<model>   count by owner of those that left; '': the last
local function turns_key(model) return P .. 'turns:' .. model end
local function served_key(model) return P .. 'served:' .. model end

local function enqueue(model, owner, score, id)
  redis.call('ZADD', queue_key(model, owner), score, id)
  if not redis.call('ZSCORE', turns_key(model), owner) then
    local f = redis.call('HMGET', served_key(model), '', owner)
    redis.call('ZADD', turns_key(model), math.max(tonumber(f[1] or '0'), tonumber(f[2] or '0')), owner)
  end
end

-- The owner whose turn it is and the first job of its queue; nothing when nobody waits.
local function next_in_turn(model)
  while true do
    local first = redis.call('ZRANGE', turns_key(model), 0, 0, 'WITHSCORES')
    if #first == 0 then return end
    local head = redis.call('ZRANGE', queue_key(model, first[1]), 0, 0)
    if head[1] then return first[1], head[1] end
    redis.call('ZREM', turns_key(model), first[1])
    redis.call('HSET', served_key(model), first[1], first[2])
  end
end

-- Pictures of an owner were taken in its turn.
local function took_turn(model, owner, pictures)
  local count = redis.call('ZINCRBY', turns_key(model), pictures, owner)
  redis.call('HSET', served_key(model), '', tonumber(count) - pictures)
end

-- So many more pictures wait, or fewer.
local function waits(model, owner, pictures)
  redis.call('HINCRBY', PENDING, model, pictures)
  redis.call('HINCRBY', owner_key(owner), 'waiting', pictures)
end
