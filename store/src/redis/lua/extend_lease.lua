-- Extends a lease. ARGV: webhook, event, token, ms of the lease. Returns 'yes' or 'no'.
local webhook, event, token, now = next_argument(), next_argument(), next_argument(), queue_now()
local state = held_delivery(webhook, event, token, now)
if not state then
  return {'no'}
end
state.lease_end = now + next_argument()
state.available = state.lease_end
write_deliveries(webhook, {state})
update_ready(webhook)
return {'yes'}
