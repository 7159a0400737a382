-- Returns 'ok', waiting and leased deliveries, dead letters and dropped deliveries of a webhook, ms of the oldest due
--   time or nil, ms of the end of its hold or nil, then for each hour of the last day: hours since the epoch and outcome,
--   count. ARGV: webhook.
local webhook, now, ahead = next_argument(), read_queue_clock()
local leased = redis.call('ZCOUNT', leases_key(webhook), '(' .. format_integer(now), '+inf')
local first_due = redis.call('ZRANGE', queue_key(webhook), 0, 0, 'WITHSCORES')[2]
local held_until = tonumber(redis.call('HGET', CAPPED_UNTIL, hold_field(webhook)) or 0)
local reply = {
  'ok', redis.call('HLEN', delivery_key(webhook)) - leased, leased, redis.call('ZCARD', dead_times_key(webhook)),
  redis.call('ZCARD', dropped_key(webhook)), first_due and format_integer(first_due - ahead) or false,
  held_until > now and format_integer(held_until - ahead) or false,
}
for _, value in ipairs(redis.call('HGETALL', hours_key(webhook))) do
  reply[#reply + 1] = value
end
return reply
