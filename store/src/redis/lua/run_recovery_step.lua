-- Sends the next deliveries of a recovery again and moves its cursor, or does nothing.
-- ARGV: webhook, recovery, expected cursor, cursor after all of these deliveries, whether they are the last ('last' or
--   'more'), maximum deliveries that are due or in flight, maximum deliveries of the webhook,
--   number of deliveries, then for each: kind (dead, dropped, or gone if it cannot be sent), event, sequence, body.
-- Those that exceed a maximum are left for the next step.
-- Returns 'ok', how many it enqueued and skipped, and the status of the recovery; or 'lost' if it has ended or its cursor
--   is elsewhere.
local webhook, id, expected, next_cursor = next_argument(), next_argument(), next_argument(), next_argument()
local is_complete, max_open, max_pending = next_argument() == 'last', tonumber(next_argument()), tonumber(next_argument())
local now, events = now_ms(), {}
local recovery = read_recovery(webhook, id)
if not recovery or recovery.status ~= 'running' or recovery.cursor ~= expected then
  return {'lost'}
end
local room = math.min(
  max_open - open_deliveries(webhook, queue_now()), max_pending - redis.call('HLEN', delivery_key(webhook)))

local function send_again(kind, event, body)
  if kind == 'dead' then
    return revive_dead(webhook, event, now)
  end
  return kind == 'dropped' and redis.call('ZSCORE', dropped_key(webhook), event) and recreate(webhook, event, body)
end

local skipped, cursor = 0, expected
for _ = 1, tonumber(next_argument()) do
  local kind, event, sequence, body = next_argument(), next_argument(), next_argument(), next_argument()
  if #events >= room then
    next_cursor, is_complete = cursor, false
    break
  end
  if send_again(kind, event, body) then
    push(events, event)
  else
    skipped = skipped + 1
  end
  cursor = sequence
end
if #events > 0 then
  enqueue(webhook, events, now)
  update_ready(webhook)
end
recovery.cursor = next_cursor
recovery.recovered, recovery.skipped = recovery.recovered + #events, recovery.skipped + skipped
if is_complete then
  end_recovery(webhook, id, recovery, 'finished', now)
end
write_recovery(webhook, id, recovery)
return {'ok', #events, skipped, recovery.status}
