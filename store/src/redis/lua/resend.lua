-- Puts a dead letter back into its queue with a fresh schedule. ARGV: webhook, event.
-- Returns 'yes', or 'no' if there is none.
local webhook, event, now = argument(), argument(), now_ms()
local letter = redis.call('HGET', dead_key(webhook), event)
if not letter then
  return {'no'}
end
local secret = redis.call('HGET', dead_sealed_key(webhook), event)
redis.call('HSET', EVENTS, event, (string.match(letter, '^[^\n]*\n[^\n]*\n[^\n]*\n(.*)$')))
redis.call('HINCRBY', EVENTS_LEFT, event, 1)
if secret then
  -- It is no younger than the letter, nor than what another delivery of the event still has.
  local age = redis.call('ZSCORE', DEAD_SEALED_AGES, webhook .. ' ' .. event)
  redis.call('HSET', SEALED, event, secret)
  redis.call('ZADD', SEALED_AGES, 'NX', age or now, event)
end
enqueue(webhook, {event}, now)
refresh(webhook)
remove_dead(webhook, event)
return {'yes'}
