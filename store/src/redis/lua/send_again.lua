-- Creates deliveries of one webhook for events that are not waiting and no dead letters.
-- ARGV: webhook, number of events, then for each: event, body. Returns 'ok' and how many it created.
local webhook, now, events = next_argument(), now_ms(), {}
for _ = 1, tonumber(next_argument()) do
  local event, body = next_argument(), next_argument()
  if not redis.call('HGET', delivery_key(webhook), event) and not redis.call('HGET', dead_key(webhook), event) then
    if not redis.call('HGET', EVENTS, event) then
      redis.call('HSET', EVENTS, event, body)
    end
    redis.call('HINCRBY', DELIVERIES_LEFT, event, 1)
    push(events, event)
  end
end
if #events > 0 then
  unlog(delivered_key(webhook), webhook, events)
  unlog(dropped_key(webhook), webhook, events)
  enqueue(webhook, events, now)
  update_ready(webhook)
end
return {'ok', #events}
