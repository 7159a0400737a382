-- Finishes, retries or releases deliveries, each independently.
-- ARGV: maximum attempts and dead letters per webhook, number of settlements, then for each:
--   webhook, event, token, step (done, dropped, retry, wait, dead), ms to wait or
--   reason of death, attempt to store or ''.
-- Returns 'ok', then 'yes' or 'no' for each.
local max_attempts, max_dead, now = tonumber(next_argument()), tonumber(next_argument()), now_ms()
local reply, seen, touched = {'ok'}, {}, {}

local function settle(webhook, event, token, step, detail, attempt)
  local state = held_delivery(webhook, event, token, now)
  if not state or seen[webhook .. ' ' .. event] then
    return 'no'
  end
  seen[webhook .. ' ' .. event] = true
  local changes = touched[webhook] or {attempts = {}, released = {}, finished = {}}
  touched[webhook] = changes
  if attempt ~= '' then
    push(changes.attempts, attempt)
  end
  if step == 'retry' or step == 'wait' then
    state.attempts = state.attempts + (step == 'retry' and 1 or 0)
    state.token, state.lease_end, state.available = '', 0, now + detail
    push(changes.released, state)
  else
    if step == 'dead' then
      local attempts = state.attempts + (attempt ~= '' and 1 or 0)
      move_to_dead_letters(webhook, event, attempts, detail, now, max_dead)
    end
    push(changes.finished, event)
  end
  return 'yes'
end

for _ = 1, tonumber(next_argument()) do
  local webhook, event, token = next_argument(), next_argument(), next_argument()
  local step, detail, attempt = next_argument(), next_argument(), next_argument()
  reply[#reply + 1] = settle(webhook, event, token, step, detail, attempt)
end
for webhook, changes in pairs(touched) do
  call_with('LPUSH', attempts_key(webhook), changes.attempts)
  redis.call('LTRIM', attempts_key(webhook), 0, max_attempts - 1)
  write_deliveries(webhook, changes.released)
  finish(webhook, changes.finished)
  redis.call('HDEL', CAPPED_UNTIL, webhook)
  update_ready(webhook)
end
return reply
