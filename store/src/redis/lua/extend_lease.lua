-- Prolongs a lease. ARGV: webhook, event, token, ms of the lease. Returns 'yes' or 'no'.
local webhook, event, token, now = argument(), argument(), argument(), now_ms()
local state = held(webhook, event, token, now)
if not state then
  return {'no'}
end
state.lease_end = now + argument()
state.available = state.lease_end
put(webhook, {state})
refresh(webhook)
return {'yes'}
