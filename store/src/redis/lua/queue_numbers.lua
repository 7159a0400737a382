-- Computes queue metrics.
-- Returns 'ok', pending, leased, dead, quarantined, ms for which the most overdue delivery has been due, entries not
--   fanned out, dead letters dropped because there were too many.
local now = read_queue_clock()
local after_now, leased = '(' .. format_integer(now), 0
for _, webhook in ipairs(redis.call('ZRANGEBYSCORE', LEASING, after_now, '+inf')) do
  leased = leased + redis.call('ZCOUNT', leases_key(webhook), after_now, '+inf')
end
local oldest_due = redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2]
return {
  'ok', meta_number('deliveries') - leased, leased, redis.call('ZCARD', DEAD_AGES), redis.call('LLEN', QUARANTINE),
  oldest_due and math.max(now - oldest_due, 0) or 0, meta_number('entries') - meta_number('fanned'),
  meta_number('dead-dropped'),
}
