-- Lists webhooks with due deliveries. ARGV: how many to skip, limit.
-- Returns 'ok', ms until the next webhook becomes due or nil, then webhooks, longest overdue first.
local skip, limit, now = next_argument(), next_argument(), read_queue_clock()
local next_one = redis.call('ZRANGEBYSCORE', READY, '(' .. format_integer(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local reply = {'ok', next_one[2] and tonumber(next_one[2]) - now or false}
for _, webhook in ipairs(redis.call('ZRANGEBYSCORE', READY, '-inf', format_integer(now), 'LIMIT', skip, limit)) do
  reply[#reply + 1] = webhook
end
return reply
