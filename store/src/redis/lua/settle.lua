-- Ends a delivery or gives it back.
-- ARGV: webhook, event, token, step (done, dropped, retry, wait, dead), ms to wait or reason of death,
--   attempt to remember or ''.
-- Returns 'yes' or 'no'.
local webhook, event, token, step, detail, attempt =
  argument(), argument(), argument(), argument(), argument(), argument()
local now = now_ms()
local state = held(webhook, event, token, now)
if not state then
  return {'no'}
end
if attempt ~= '' then
  redis.call('LPUSH', attempts_key(webhook), attempt)
  redis.call('LTRIM', attempts_key(webhook), 0, MAX_ATTEMPTS_KEPT - 1)
end
redis.call('HDEL', CAPPED, webhook)
if step == 'retry' or step == 'wait' then
  state.attempts = state.attempts + (step == 'retry' and 1 or 0)
  state.token, state.lease_end, state.available = '', 0, now + detail
  put(webhook, event, state)
else
  if step == 'dead' then
    bury(webhook, event, state.attempts + 1, detail, now)
  end
  finish(webhook, event)
end
refresh(webhook)
return {'yes'}
