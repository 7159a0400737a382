-- Creates deliveries of one webhook for events that are not waiting and no dead letters.
-- ARGV: webhook, number of events, then for each: event, body. Returns 'ok' and how many it created.
local webhook, now, events = next_argument(), now_ms(), {}
for _ = 1, tonumber(next_argument()) do
  local event, body = next_argument(), next_argument()
  if recreate(webhook, event, body) then
    push(events, event)
  end
end
if #events > 0 then
  enqueue(webhook, events, now)
  update_ready(webhook)
end
return {'ok', #events}
