-- Moves a dead letter back into its queue with a fresh schedule. ARGV: webhook, event.
-- Returns 'yes', or 'no' if there is none.
local webhook, event, now = next_argument(), next_argument(), now_ms()
local letter = redis.call('HGET', dead_key(webhook), event)
if not letter then
  return {'no'}
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
enqueue(webhook, {event}, now)
update_ready(webhook)
remove_dead(webhook, event)
return {'yes'}
