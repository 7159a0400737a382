-- Leases due deliveries of one webhook. Deliveries with an expired lease are due.
-- ARGV: webhook, token, max, in-flight cap, ms of the lease.
-- Returns 'ok', the webhook's record or nil, then of each delivery: event, body, sealed secret or nil, attempts made,
-- ms of creation.
local webhook, token, max, cap = next_argument(), next_argument(), tonumber(next_argument()), tonumber(next_argument())
local now = queue_now()
local lease_end = now + next_argument()
local capped_until, held_until = read_limits(webhook)
local reply = {'ok', redis.call('GET', record_key(webhook))}
if now < held_until then
  update_ready_with(webhook, capped_until, held_until)
  return reply
elseif held_until > 0 then
  redis.call('HDEL', CAPPED_UNTIL, hold_field(webhook))
end
redis.call('ZREMRANGEBYSCORE', leases_key(webhook), '-inf', format_integer(now))
local free = math.max(cap - redis.call('ZCARD', leases_key(webhook)), 0)
local leased = {}
local count = math.min(free, max)
local due = redis.call('ZRANGEBYSCORE', queue_key(webhook), '-inf', format_integer(now), 'LIMIT', 0, count)
if #due > 0 then
  local states = redis.call('HMGET', delivery_key(webhook), unpack(due))
  local bodies = redis.call('HMGET', EVENTS, unpack(due))
  local secrets = redis.call('HMGET', SEALED, unpack(due))
  for i, event in ipairs(due) do
    local state = parse_delivery(event, states[i])
    push(reply, event, bodies[i] or '')
    push(reply, secrets[i])
    push(reply, state.attempts, state.created)
    state.token, state.lease_end, state.available = token, lease_end, lease_end
    push(leased, state)
  end
  write_deliveries(webhook, leased)
  note_lease(webhook, lease_end)
end
if #leased == free then
  capped_until = tonumber(redis.call('ZRANGE', leases_key(webhook), 0, 0, 'WITHSCORES')[2] or lease_end)
  redis.call('HSET', CAPPED_UNTIL, webhook, format_integer(capped_until))
end
update_ready_with(webhook, capped_until, 0)
return reply
