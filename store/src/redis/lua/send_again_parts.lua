-- Functions that send deliveries again.

-- Returns the creation of a delivery that ended: {event, ms, sequence}. One of which it is not known, because an early
-- version ended it, is created now.
local function creation_of(list, webhook, event, now)
  local sequence = redis.call('ZSCORE', list, event)
  local created = string.match(redis.call('HGET', log_key(webhook), event) or '', '"created":(%d+)')
  if created and sequence then
    return {event = event, ms = tonumber(created), sequence = sequence}
  end
  return {event = event, ms = now, sequence = redis.call('HINCRBY', META, 'made', 1)}
end

-- Creates deliveries again, due at once: lists of their creations. Each keeps its time and its place in the lists.
local function enqueue_again(webhook, creations)
  local deliveries, sequence_rows, due = {}, {}, queue_now()
  for i, creation in ipairs(creations) do
    deliveries[i] = {
      event = creation.event, attempts = 0, lease_end = 0, created = creation.ms, available = due, token = '',
    }
    push(sequence_rows, creation.sequence, creation.event)
  end
  write_deliveries(webhook, deliveries)
  call_with('ZADD', sequence_key(webhook), sequence_rows)
  redis.call('HINCRBY', META, 'deliveries', #creations)
  update_ready(webhook)
end

-- Removes a dead letter and gives its event body and secret back. Returns the creation of its delivery; nil if there is
-- none.
local function revive_dead(webhook, event, now)
  local letter = redis.call('HGET', dead_key(webhook), event)
  if not letter then
    return nil
  end
  local creation = creation_of(dead_sequence_key(webhook), webhook, event, now)
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
  return creation
end

-- Gives an event its body back, unless its delivery waits or is a dead letter, and removes what the log has of it.
-- Returns the creation of its delivery; nil if it did nothing.
local function recreate(webhook, event, body, now)
  if redis.call('HGET', delivery_key(webhook), event) or redis.call('HGET', dead_key(webhook), event) then
    return nil
  end
  local list = redis.call('ZSCORE', dropped_key(webhook), event) and dropped_key(webhook) or delivered_key(webhook)
  local creation = creation_of(list, webhook, event, now)
  if not redis.call('HGET', EVENTS, event) then
    redis.call('HSET', EVENTS, event, body)
  end
  redis.call('HINCRBY', DELIVERIES_LEFT, event, 1)
  unlog(delivered_key(webhook), webhook, {event})
  unlog(dropped_key(webhook), webhook, {event})
  return creation
end
