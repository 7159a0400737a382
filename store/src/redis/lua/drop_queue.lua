-- Removes a bounded part of what a removed webhook left. ARGV: webhook, max.
-- Returns 'ok' and how many deliveries and dead letters it removed.
local webhook, max = next_argument(), tonumber(next_argument())
local events = redis.call('ZRANGE', queue_key(webhook), 0, max - 1)
finish(webhook, events, events)
local removed = #events
for _, event in ipairs(redis.call('ZRANGE', dead_times_key(webhook), 0, max - 1)) do
  remove_dead(webhook, event)
  removed = removed + 1
end
redis.call('DEL', attempts_key(webhook), delivered_key(webhook), dropped_key(webhook), dead_sequence_key(webhook))
redis.call('DEL', log_key(webhook), last_attempts_key(webhook), hours_key(webhook), failures_key(webhook))
redis.call('HDEL', CAPPED_UNTIL, hold_field(webhook))
redis.call('ZREM', LOG_CHECKS, webhook)
drop_recoveries(webhook)
update_ready(webhook)
return {'ok', removed}
