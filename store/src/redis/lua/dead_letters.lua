-- Lists dead letters of a webhook, oldest first. ARGV: webhook, limit.
-- Returns 'ok', then event, letter, sealed secret or nil.
local webhook, limit, reply = next_argument(), tonumber(next_argument()), {'ok'}
for _, event in ipairs(redis.call('ZRANGE', dead_times_key(webhook), 0, limit - 1)) do
  reply[#reply + 1] = event
  reply[#reply + 1] = redis.call('HGET', dead_key(webhook), event)
  reply[#reply + 1] = redis.call('HGET', dead_sealed_key(webhook), event)
end
return reply
