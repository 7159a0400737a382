-- Ends deliveries or gives them back, each for itself.
-- ARGV: attempts and dead letters that a webhook may have, number of settlements, then of each: webhook, event, token, step (done, dropped, retry, wait, dead), ms to wait or
--   reason of death, attempt to remember or ''.
-- Returns 'ok', then of each 'yes' or 'no'.
local max_attempts, max_dead, now = tonumber(argument()), tonumber(argument()), now_ms()
local answer, touched = {'ok'}, {}

local function settle(webhook, event, token, step, detail, attempt)
  local state = held(webhook, event, token, now)
  if not state then
    return 'no'
  end
  touched[webhook] = true
  if attempt ~= '' then
    redis.call('LPUSH', attempts_key(webhook), attempt)
  end
  if step == 'retry' or step == 'wait' then
    state.attempts = state.attempts + (step == 'retry' and 1 or 0)
    state.token, state.lease_end, state.available = '', 0, now + detail
    put(webhook, event, state)
  else
    if step == 'dead' then
      bury(webhook, event, state.attempts + 1, detail, now, max_dead)
    end
    finish(webhook, event)
  end
  return 'yes'
end

for _ = 1, tonumber(argument()) do
  local webhook, event, token = argument(), argument(), argument()
  local step, detail, attempt = argument(), argument(), argument()
  answer[#answer + 1] = settle(webhook, event, token, step, detail, attempt)
end
for webhook in pairs(touched) do
  redis.call('LTRIM', attempts_key(webhook), 0, max_attempts - 1)
  redis.call('HDEL', CAPPED, webhook)
  refresh(webhook)
end
return answer
