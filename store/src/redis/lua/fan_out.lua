-- Moves the fan-out cursor and makes the deliveries, or nothing.
-- ARGV: expected and new position, entries in between, deliveries and dead letters that a webhook may have,
--   entries that the quarantine may have,
--   number of events, then of each: event, body, number of webhooks, webhooks;
--   number of quarantined entries, then each as 'version\nreason\nbytes'.
-- Returns 'moved' with the number of deliveries that fell out of full queues, or 'lost'.
local expected, new, entries = argument(), argument(), argument()
local max_pending, max_dead, max_quarantined = tonumber(argument()), tonumber(argument()), tonumber(argument())
if position('fan-out') ~= expected then
  return {'lost'}
end
local now = now_ms()
redis.call('HSET', META, 'fan-out', new)
redis.call('HINCRBY', META, 'fanned', entries)

local overflowed = 0
local function overflow(webhook)
  while redis.call('HLEN', delivery_key(webhook)) > max_pending do
    local event = oldest(webhook)
    bury(webhook, event, delivery(webhook, event).attempts, 'the queue was full', now, max_dead)
    finish(webhook, {event})
    overflowed = overflowed + 1
  end
end

local bodies, left, unwanted, of_webhook = {}, {}, {}, {}
for _ = 1, tonumber(argument()) do
  local event, body, webhooks = argument(), argument(), tonumber(argument())
  if webhooks == 0 then
    push(unwanted, event)
  else
    push(bodies, event, body)
    push(left, event, webhooks)
  end
  for _ = 1, webhooks do
    local webhook = argument()
    of_webhook[webhook] = of_webhook[webhook] or {}
    push(of_webhook[webhook], event)
  end
end
erase_secrets(unwanted)
call_with('HSET', EVENTS, bodies)
call_with('HSET', EVENTS_LEFT, left)
for webhook, events in pairs(of_webhook) do
  enqueue(webhook, events, now)
  overflow(webhook)
  refresh(webhook)
end
for _ = 1, tonumber(argument()) do
  redis.call('RPUSH', QUARANTINE, argument())
end
redis.call('LTRIM', QUARANTINE, -max_quarantined, -1)
return {'moved', overflowed}
