-- Lists the latest attempts of a webhook, newest first. ARGV: webhook, limit. Returns 'ok' and a list.
local webhook, limit = next_argument(), tonumber(next_argument())
return {'ok', redis.call('LRANGE', attempts_key(webhook), 0, limit - 1)}
