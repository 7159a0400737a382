-- Moves a dead letter back into its queue with a fresh schedule. ARGV: webhook, event.
-- Returns 'yes', or 'no' if there is none.
local webhook, event, now = next_argument(), next_argument(), now_ms()
if not revive_dead(webhook, event, now) then
  return {'no'}
end
enqueue(webhook, {event}, now)
update_ready(webhook)
return {'yes'}
