-- Functions that send deliveries again. The caller enqueues them.

-- Removes a dead letter and gives its event body and secret back. Returns whether there was one.
local function revive_dead(webhook, event, now)
  local letter = redis.call('HGET', dead_key(webhook), event)
  if not letter then
    return false
  end
  local secret = redis.call('HGET', dead_sealed_key(webhook), event)
  redis.call('HSET', EVENTS, event, (string.match(letter, '^[^\n]*\n[^\n]*\n[^\n]*\n(.*)$')))
  redis.call('HINCRBY', DELIVERIES_LEFT, event, 1)
  if secret then
    -- The secret's age stays that of the letter, or that of another delivery of the event that still has it.
    local age = redis.call('ZSCORE', DEAD_SEALED_AGES, webhook .. ' ' .. event)
    redis.call('HSET', SEALED, event, secret)
    redis.call('ZADD', SEALED_AGES, 'NX', age or now, event)
  end
  remove_dead(webhook, event)
  return true
end

-- Gives an event its body back, unless its delivery waits or is a dead letter, and removes what the log has of it.
-- Returns whether it did.
local function recreate(webhook, event, body)
  if redis.call('HGET', delivery_key(webhook), event) or redis.call('HGET', dead_key(webhook), event) then
    return false
  end
  if not redis.call('HGET', EVENTS, event) then
    redis.call('HSET', EVENTS, event, body)
  end
  redis.call('HINCRBY', DELIVERIES_LEFT, event, 1)
  unlog(delivered_key(webhook), webhook, {event})
  unlog(dropped_key(webhook), webhook, {event})
  return true
end
