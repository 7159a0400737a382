-- Lists dead letters of a webhook, oldest first, after a position.
-- ARGV: webhook, limit, then ms of death and event of the position, or two times ''.
-- Returns 'ok', then event, letter, sealed secret or nil.
local webhook, limit, reply = next_argument(), tonumber(next_argument()), {'ok'}
local died_ms, after, start = next_argument(), next_argument(), 0
if died_ms ~= '' then
  local times = dead_times_key(webhook)
  local earlier = redis.call('ZCOUNT', times, '-inf', '(' .. died_ms)
  local through = redis.call('ZCOUNT', times, '-inf', died_ms)
  start = earlier
  -- Those of the same millisecond are ordered by event.
  for _, event in ipairs(through > earlier and redis.call('ZRANGE', times, earlier, through - 1) or {}) do
    start = start + (event <= after and 1 or 0)
  end
end
for _, event in ipairs(redis.call('ZRANGE', dead_times_key(webhook), start, start + limit - 1)) do
  add_dead_letter(reply, webhook, event)
end
return reply
