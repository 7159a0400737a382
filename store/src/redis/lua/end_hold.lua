-- Ends the hold of a webhook. ARGV: webhook. Returns 'ok'.
local webhook = next_argument()
redis.call('HDEL', CAPPED_UNTIL, hold_field(webhook))
update_ready(webhook)
return {'ok'}
