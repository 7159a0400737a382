-- Moves a dead letter back into its queue with a fresh schedule. ARGV: webhook, event.
-- Returns 'yes', or 'no' if there is none.
local webhook, event, now = next_argument(), next_argument(), now_ms()
local creation = revive_dead(webhook, event, now)
if not creation then
  return {'no'}
end
enqueue_again(webhook, {creation})
return {'yes'}
