-- Reads recoveries that run, in the order of their webhooks. ARGV: webhook after which they begin or '', limit.
-- Returns 'ok', then for each: webhook, its deliveries that are due or in flight, the recovery.
local after, limit, now, reply = next_argument(), tonumber(next_argument()), read_queue_clock(), {'ok'}
-- '!' follows the space that ends the webhook.
local start = after == '' and '-' or '(' .. after .. '!'
for _, member in ipairs(redis.call('ZRANGEBYLEX', RECOVERING, start, '+', 'LIMIT', 0, limit)) do
  local webhook, id = string.match(member, '^(%S+) (%S+)$')
  local recovery = read_recovery(webhook, id)
  if recovery then
    reply[#reply + 1] = webhook
    reply[#reply + 1] = open_deliveries(webhook, now)
    add_recovery(reply, id, recovery)
  end
end
return reply
