-- Takes due deliveries of one webhook into a worker's hands. An expired lease counts as due.
-- ARGV: webhook, token, most, in-flight cap, ms of the lease.
-- Returns 'ok', then event, body, sealed secret or nil, attempts made, ms of creation.
local webhook, token, most, cap = argument(), argument(), tonumber(argument()), tonumber(argument())
local now = now_ms()
local lease_end = now + argument()
redis.call('ZREMRANGEBYSCORE', held_key(webhook), '-inf', integer(now))
local earliest = tonumber(redis.call('ZRANGE', held_key(webhook), 0, 0, 'WITHSCORES')[2] or lease_end)
local free = math.max(cap - redis.call('ZCARD', held_key(webhook)), 0)
local answer, taken = {'ok'}, 0
local due = redis.call('ZRANGEBYSCORE', queue_key(webhook), '-inf', integer(now), 'LIMIT', 0, math.min(free, most))
for _, event in ipairs(due) do
  local state = delivery(webhook, event)
  local body = redis.call('HGET', EVENTS, event)
  state.token, state.lease_end, state.available = token, lease_end, lease_end
  put(webhook, event, state)
  taken = taken + 1
  answer[#answer + 1] = event
  answer[#answer + 1] = body or ''
  answer[#answer + 1] = redis.call('HGET', SEALED, event)
  answer[#answer + 1] = state.attempts
  answer[#answer + 1] = state.created
end
if taken == free then
  redis.call('HSET', CAPPED, webhook, integer(math.min(earliest, lease_end)))
end
refresh(webhook)
return answer
