-- Moves the fan-out cursor and creates the deliveries, or does nothing.
-- ARGV: expected and new position, entries in between, maximum deliveries and dead letters per webhook,
--   maximum entries in quarantine,
--   number of events, then for each: event, body, number of webhooks, webhooks;
--   maximum dropped deliveries per webhook, number of dropped deliveries, then for each: webhook, event, summary;
--   number of quarantined entries, then each as 'version\nreason\nbytes'.
-- Returns 'moved' with the number of deliveries that full queues moved to the dead letters, or 'lost'.
local expected, new, entries = next_argument(), next_argument(), next_argument()
local max_pending, max_dead = tonumber(next_argument()), tonumber(next_argument())
local max_quarantined = tonumber(next_argument())
if meta_position('fan-out') ~= expected then
  return {'lost'}
end
local now = now_ms()
redis.call('HSET', META, 'fan-out', new)
redis.call('HINCRBY', META, 'fanned', entries)

local overflowed = 0
local function trim_overflow(webhook)
  while redis.call('HLEN', delivery_key(webhook)) > max_pending do
    local event = oldest_event(webhook)
    local state = read_delivery(webhook, event)
    local summary = summary_without_report(webhook, event, state)
    move_to_dead_letters(webhook, event, state.attempts, 'the queue was full', summary, now, max_dead)
    finish(webhook, {event}, {event})
    overflowed = overflowed + 1
  end
end

local bodies, deliveries_left, unsubscribed, events_by_webhook = {}, {}, {}, {}
for _ = 1, tonumber(next_argument()) do
  local event, body, webhooks = next_argument(), next_argument(), tonumber(next_argument())
  if webhooks == 0 then
    push(unsubscribed, event)
  else
    push(bodies, event, body)
    push(deliveries_left, event, webhooks)
  end
  for _ = 1, webhooks do
    local webhook = next_argument()
    events_by_webhook[webhook] = events_by_webhook[webhook] or {}
    push(events_by_webhook[webhook], event)
  end
end
erase_secrets(unsubscribed)
call_with('HSET', EVENTS, bodies)
call_with('HSET', DELIVERIES_LEFT, deliveries_left)
for webhook, events in pairs(events_by_webhook) do
  enqueue(webhook, events, now)
  trim_overflow(webhook)
  update_ready(webhook)
end
local max_dropped, dropped_by_webhook = tonumber(next_argument()), {}
for _ = 1, tonumber(next_argument()) do
  local webhook, event, summary = next_argument(), next_argument(), next_argument()
  local dropped = dropped_by_webhook[webhook] or {rows = {}, summaries = {}}
  dropped_by_webhook[webhook] = dropped
  push(dropped.rows, redis.call('HINCRBY', META, 'made', 1), event)
  push(dropped.summaries, event, format_integer(now) .. '\n' .. summary)
end
for webhook, dropped in pairs(dropped_by_webhook) do
  log_ended(dropped_key(webhook), webhook, dropped.rows, dropped.summaries)
  limit_log(dropped_key(webhook), webhook, max_dropped)
  check_log_later(webhook, now)
end
for _ = 1, tonumber(next_argument()) do
  redis.call('RPUSH', QUARANTINE, next_argument())
end
redis.call('LTRIM', QUARANTINE, -max_quarantined, -1)
return {'moved', overflowed}
