-- Creates deliveries of one webhook for events that are not waiting and no dead letters.
-- ARGV: webhook, number of events, then for each: event, body. Returns 'ok' and how many it created.
local webhook, now, creations = next_argument(), now_ms(), {}
for _ = 1, tonumber(next_argument()) do
  local event, body = next_argument(), next_argument()
  push(creations, recreate(webhook, event, body, now))
end
if #creations > 0 then
  enqueue_again(webhook, creations)
end
return {'ok', #creations}
