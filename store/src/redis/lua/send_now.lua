-- Makes a waiting delivery due at once. ARGV: webhook, event.
-- Returns 'yes', 'held' while it is being sent, or 'no' if it does not wait.
local webhook, event, now = next_argument(), next_argument(), queue_now()
local state = read_delivery(webhook, event)
if not state then
  return {'no'}
end
if state.token ~= '' and now < state.lease_end then
  return {'held'}
end
state.token, state.lease_end, state.available = '', 0, math.min(state.available, now)
write_deliveries(webhook, {state})
update_ready(webhook)
return {'yes'}
