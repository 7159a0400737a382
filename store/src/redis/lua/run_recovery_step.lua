-- Sends the next deliveries of a recovery again and moves its cursor, or does nothing.
-- ARGV: webhook, recovery, expected cursor, cursor after all of these deliveries, whether they are the last ('last' or
--   'more'), maximum deliveries that are due or in flight, maximum deliveries of the webhook,
--   number of deliveries, then for each: kind (dead, dropped, waiting, or gone if it cannot be sent), event, sequence,
--   body.
-- Those that exceed a maximum are left for the next step.
-- Returns 'ok', how many it sent again and skipped, and the status of the recovery; or 'lost' if it has ended or its
--   cursor is elsewhere.
local webhook, id, expected, next_cursor = next_argument(), next_argument(), next_argument(), next_argument()
local is_complete, max_open, max_pending = next_argument() == 'last', tonumber(next_argument()), tonumber(next_argument())
local recovery = read_recovery(webhook, id)
if not recovery or recovery.status ~= 'running' or recovery.cursor ~= expected then
  return {'lost'}
end
local now, queue_time = now_ms(), queue_now()
local room = max_open - open_deliveries(webhook, queue_time)
local room_for_new = max_pending - redis.call('HLEN', delivery_key(webhook))
local creations, made_due, recovered, skipped, cursor = {}, {}, 0, 0, expected

-- Makes a delivery that waits for its next attempt due. Returns whether it waits for one.
local function make_due(event)
  local state = read_delivery(webhook, event)
  if not state or state.attempts == 0 or (state.token ~= '' and queue_time < state.lease_end) then
    return false
  end
  if queue_time < state.available then
    state.token, state.lease_end, state.available = '', 0, queue_time
    push(made_due, state)
  end
  return true
end

local function send_again(kind, event, body)
  if kind == 'waiting' then
    return make_due(event)
  end
  local creation
  if kind == 'dead' then
    creation = revive_dead(webhook, event, now)
  elseif kind == 'dropped' and redis.call('ZSCORE', dropped_key(webhook), event) then
    creation = recreate(webhook, event, body, now)
  end
  push(creations, creation)
  return creation ~= nil
end

for _ = 1, tonumber(next_argument()) do
  local kind, event, sequence, body = next_argument(), next_argument(), next_argument(), next_argument()
  if recovered >= room or (kind ~= 'waiting' and #creations >= room_for_new) then
    next_cursor, is_complete = cursor, false
    break
  end
  if send_again(kind, event, body) then
    recovered = recovered + 1
  else
    skipped = skipped + 1
  end
  cursor = sequence
end
write_deliveries(webhook, made_due)
enqueue_again(webhook, creations)
recovery.cursor = next_cursor
recovery.recovered, recovery.skipped = recovery.recovered + recovered, recovery.skipped + skipped
if is_complete then
  end_recovery(webhook, id, recovery, 'finished', now)
end
write_recovery(webhook, id, recovery)
return {'ok', recovered, skipped, recovery.status}
