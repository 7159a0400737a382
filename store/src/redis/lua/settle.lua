-- Finishes, retries or releases deliveries, each independently.
-- ARGV: maximum attempts, delivered deliveries and dead letters per webhook, number of settlements, then for each:
--   webhook, event, token, step (done, dropped, retry, wait, dead), ms to wait or reason of death,
--   outcome of the attempt (delivered, failed or ''), failed attempt to store or '',
--   summary of the delivery if it ends, or its last attempt if it is retried, or ''.
-- Returns 'ok', then 'yes' or 'no' for each.
local max_attempts, max_delivered = tonumber(next_argument()), tonumber(next_argument())
local max_dead, now = tonumber(next_argument()), now_ms()
local reply, seen, touched = {'ok'}, {}, {}

local function changes_of(webhook)
  touched[webhook] = touched[webhook] or {
    attempts = {}, released = {}, finished = {}, last = {}, delivered = {}, summaries = {},
    counts = {delivered = 0, failed = 0},
  }
  return touched[webhook]
end

local function settle(webhook, event, token, step, detail, outcome, attempt, summary)
  local state = held_delivery(webhook, event, token, now)
  if not state or seen[webhook .. ' ' .. event] then
    return 'no'
  end
  seen[webhook .. ' ' .. event] = true
  local changes = changes_of(webhook)
  if attempt ~= '' then
    push(changes.attempts, attempt)
  end
  if outcome ~= '' then
    changes.counts[outcome] = changes.counts[outcome] + 1
  end
  if step == 'retry' or step == 'wait' then
    state.attempts = state.attempts + (step == 'retry' and 1 or 0)
    state.token, state.lease_end, state.available = '', 0, now + detail
    push(changes.released, state)
    if summary ~= '' then
      push(changes.last, event, summary)
    end
    return 'yes'
  end
  if step == 'dead' then
    local attempts = state.attempts + (outcome ~= '' and 1 or 0)
    move_to_dead_letters(webhook, event, attempts, detail, summary, now, max_dead)
  elseif step == 'done' then
    push(changes.delivered, sequence_of(webhook, event), event)
    push(changes.summaries, event, format_integer(now) .. '\n' .. summary)
  end
  push(changes.finished, event)
  return 'yes'
end

for _ = 1, tonumber(next_argument()) do
  local webhook, event, token, step = next_argument(), next_argument(), next_argument(), next_argument()
  local detail, outcome, attempt, summary = next_argument(), next_argument(), next_argument(), next_argument()
  reply[#reply + 1] = settle(webhook, event, token, step, detail, outcome, attempt, summary)
end
for webhook, changes in pairs(touched) do
  if #changes.attempts > 0 then
    call_with('LPUSH', attempts_key(webhook), changes.attempts)
    redis.call('LTRIM', attempts_key(webhook), 0, max_attempts - 1)
    redis.call('ZADD', LOG_CHECKS, 'NX', now + LOG_CHECK_MS, webhook)
  end
  write_deliveries(webhook, changes.released)
  log_ended(delivered_key(webhook), webhook, changes.delivered, changes.summaries, max_delivered, now)
  finish(webhook, changes.finished)
  call_with('HSET', last_attempts_key(webhook), changes.last)
  count_attempts(webhook, 'delivered', changes.counts.delivered, now)
  count_attempts(webhook, 'failed', changes.counts.failed, now)
  redis.call('HDEL', CAPPED_UNTIL, webhook)
  update_ready(webhook)
end
return reply
