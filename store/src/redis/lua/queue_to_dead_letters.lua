-- Moves deliveries of a webhook that are not leased to its dead letters.
-- ARGV: webhook, reason, maximum dead letters per webhook, max. Returns 'ok' and how many it moved.
local webhook, reason = next_argument(), next_argument()
local max_dead, max = tonumber(next_argument()), tonumber(next_argument())
local now, queue_time, moved = now_ms(), queue_now(), {}
for _, event in ipairs(redis.call('ZRANGE', queue_key(webhook), 0, max - 1)) do
  local state = read_delivery(webhook, event)
  if state and (state.token == '' or state.lease_end <= queue_time) then
    local summary = summary_without_report(webhook, event, state)
    move_to_dead_letters(webhook, event, state.attempts, reason, summary, now, max_dead)
    push(moved, event)
  end
end
finish(webhook, moved, moved)
update_ready(webhook)
return {'ok', #moved}
