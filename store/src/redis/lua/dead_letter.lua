-- Reads a dead letter. ARGV: webhook, event.
-- Returns 'ok', then event, letter, sealed secret or nil; only 'ok' if there is none.
local webhook, event, reply = next_argument(), next_argument(), {'ok'}
if redis.call('HGET', dead_key(webhook), event) then
  add_dead_letter(reply, webhook, event)
end
return reply
