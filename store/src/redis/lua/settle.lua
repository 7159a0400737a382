-- Ends deliveries or gives them back, each for itself.
-- ARGV: attempts and dead letters that a webhook may have, number of settlements, then of each:
--   webhook, event, token, step (done, dropped, retry, wait, dead), ms to wait or
--   reason of death, attempt to remember or ''.
-- Returns 'ok', then of each 'yes' or 'no'.
local max_attempts, max_dead, now = tonumber(argument()), tonumber(argument()), now_ms()
local answer, seen, touched = {'ok'}, {}, {}

local function settle(webhook, event, token, step, detail, attempt)
  local state = held(webhook, event, token, now)
  if not state or seen[webhook .. ' ' .. event] then
    return 'no'
  end
  seen[webhook .. ' ' .. event] = true
  local of_webhook = touched[webhook] or {attempts = {}, given_back = {}, ended = {}}
  touched[webhook] = of_webhook
  if attempt ~= '' then
    push(of_webhook.attempts, attempt)
  end
  if step == 'retry' or step == 'wait' then
    state.attempts = state.attempts + (step == 'retry' and 1 or 0)
    state.token, state.lease_end, state.available = '', 0, now + detail
    push(of_webhook.given_back, state)
  else
    if step == 'dead' then
      bury(webhook, event, state.attempts + 1, detail, now, max_dead)
    end
    push(of_webhook.ended, event)
  end
  return 'yes'
end

for _ = 1, tonumber(argument()) do
  local webhook, event, token = argument(), argument(), argument()
  local step, detail, attempt = argument(), argument(), argument()
  answer[#answer + 1] = settle(webhook, event, token, step, detail, attempt)
end
for webhook, of_webhook in pairs(touched) do
  call_with('LPUSH', attempts_key(webhook), of_webhook.attempts)
  redis.call('LTRIM', attempts_key(webhook), 0, max_attempts - 1)
  put(webhook, of_webhook.given_back)
  finish(webhook, of_webhook.ended)
  redis.call('HDEL', CAPPED, webhook)
  refresh(webhook)
end
return answer
