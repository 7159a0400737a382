-- Numbers for metrics.
-- Returns 'ok', pending, leased, dead, quarantined, ms that the longest due has been due, not fanned out,
--   dead letters that were dropped because there were too many.
local now = now_ms()
local leased = redis.call('ZCOUNT', LEASED, '(' .. integer(now), '+inf')
local oldest = redis.call('ZRANGE', READY, 0, 0, 'WITHSCORES')[2]
return {
  'ok', number('deliveries') - leased, leased, redis.call('ZCARD', DEAD_AGES), redis.call('LLEN', QUARANTINE),
  oldest and math.max(now - oldest, 0) or 0, number('entries') - number('fanned'), number('dead-dropped'),
}
