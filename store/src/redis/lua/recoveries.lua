-- Reads the recoveries of a webhook, in no order. ARGV: webhook. Returns 'ok' and them.
local reply = {'ok'}
local stored = redis.call('HGETALL', recoveries_key(next_argument()))
for i = 1, #stored, 2 do
  add_recovery(reply, stored[i], parse_recovery(stored[i + 1]))
end
return reply
