-- Takes due deliveries of one webhook into a worker's hands. An expired lease counts as due.
-- ARGV: webhook, token, most, in-flight cap, ms of the lease.
-- Returns 'ok', then event, body, sealed secret or nil, attempts made, ms of creation.
local webhook, token, most, cap = argument(), argument(), tonumber(argument()), tonumber(argument())
local now = now_ms()
local lease_end = now + argument()
redis.call('ZREMRANGEBYSCORE', held_key(webhook), '-inf', integer(now))
local earliest = tonumber(redis.call('ZRANGE', held_key(webhook), 0, 0, 'WITHSCORES')[2] or lease_end)
local free = math.max(cap - redis.call('ZCARD', held_key(webhook)), 0)
local answer, taken = {'ok'}, {}
local due = redis.call('ZRANGEBYSCORE', queue_key(webhook), '-inf', integer(now), 'LIMIT', 0, math.min(free, most))
if #due > 0 then
  local states = redis.call('HMGET', delivery_key(webhook), unpack(due))
  local bodies = redis.call('HMGET', EVENTS, unpack(due))
  local secrets = redis.call('HMGET', SEALED, unpack(due))
  for place, event in ipairs(due) do
    local state = parsed(event, states[place])
    push(answer, event, bodies[place] or '')
    push(answer, secrets[place])
    push(answer, state.attempts, state.created)
    state.token, state.lease_end, state.available = token, lease_end, lease_end
    push(taken, state)
  end
  put(webhook, taken)
end
if #taken == free then
  redis.call('HSET', CAPPED, webhook, integer(math.min(earliest, lease_end)))
end
refresh(webhook)
return answer
