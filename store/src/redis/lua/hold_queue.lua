-- Sends nothing to a webhook for some time. ARGV: webhook, ms. Returns 'ok'.
local webhook, ms = next_argument(), tonumber(next_argument())
hold_queue(webhook, queue_now() + ms)
update_ready(webhook)
return {'ok'}
