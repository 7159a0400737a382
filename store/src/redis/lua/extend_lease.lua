-- Extends a lease. ARGV: webhook, event, token, ms of the lease. Returns 'yes' or 'no'.
local webhook, event, token, now = next_argument(), next_argument(), next_argument(), queue_now()
local text = redis.call('HGET', delivery_key(webhook), event)
local _, held_by = held_lease(text, now)
if held_by ~= token then
  return {'no'}
end
local state = parse_delivery(event, text)
state.lease_end = now + next_argument()
state.available = state.lease_end
write_deliveries(webhook, {state})
note_lease(webhook, state.lease_end)
update_ready(webhook)
return {'yes'}
