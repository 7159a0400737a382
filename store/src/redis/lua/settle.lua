-- Finishes, retries or releases deliveries, each independently.
-- ARGV: maximum attempts, delivered deliveries and dead letters per webhook, ms in which refusals count as one failure,
--   maximum ms for which a receiver may hold its webhook in all, number of settlements, then for each:
--   webhook, event, token, step (done, dropped, retry, wait, dead), ms to wait or reason of death,
--   outcome of the attempt (delivered, failed or ''), ms for which the receiver holds the webhook or '',
--   failed attempt to store or '', summary of the delivery if it ends, or its last attempt if it is retried, or ''.
-- Returns 'ok', then for each: 'yes' or 'no', and for a failed attempt the failures of the webhook in a row and the ms
--   since the first one, or nil and nil.
local max_attempts, max_delivered = tonumber(next_argument()), tonumber(next_argument())
local max_dead, refusal_interval = tonumber(next_argument()), tonumber(next_argument())
local max_holds, now, queue_time = tonumber(next_argument()), now_ms(), queue_now()
local outcomes, seen, touched = {}, {}, {}

local function changes_of(webhook)
  touched[webhook] = touched[webhook] or {
    attempts = {}, released = {}, finished = {}, retried = {}, last = {}, delivered = {}, summaries = {},
    counts = {delivered = 0, failed = 0}, has_recovered = false, failures = 0, refusals = 0, hold = 0,
  }
  return touched[webhook]
end

-- Notes what an attempt says about the receiver. A 2xx ends the failures before it.
local function note_outcome(changes, outcome, hold)
  changes.counts[outcome] = changes.counts[outcome] + 1
  if outcome == 'delivered' then
    changes.has_recovered, changes.failures, changes.refusals = true, 0, 0
  elseif hold == '' then
    changes.failures = changes.failures + 1
  else
    changes.refusals = changes.refusals + 1
    changes.hold = math.max(changes.hold, tonumber(hold))
  end
end

local function settle(webhook, event, token, step, detail, outcome, hold, attempt, summary)
  local state = held_delivery(webhook, event, token, queue_time)
  if not state or seen[webhook .. ' ' .. event] then
    return 'no'
  end
  seen[webhook .. ' ' .. event] = true
  local changes = changes_of(webhook)
  if attempt ~= '' then
    push(changes.attempts, attempt)
  end
  if outcome ~= '' then
    note_outcome(changes, outcome, hold)
  end
  if step == 'retry' or step == 'wait' then
    state.attempts = state.attempts + (step == 'retry' and 1 or 0)
    state.token, state.lease_end, state.available = '', 0, queue_time + detail
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
  if state.attempts > 0 then
    push(changes.retried, event)
  end
  return 'yes'
end

for _ = 1, tonumber(next_argument()) do
  local webhook, event, token, step = next_argument(), next_argument(), next_argument(), next_argument()
  local detail, outcome, hold = next_argument(), next_argument(), next_argument()
  local attempt, summary = next_argument(), next_argument()
  local held = settle(webhook, event, token, step, detail, outcome, hold, attempt, summary)
  push(outcomes, {webhook = webhook, held = held, has_failed = held == 'yes' and outcome == 'failed'})
end
for webhook, changes in pairs(touched) do
  if #changes.attempts > 0 then
    call_with('LPUSH', attempts_key(webhook), changes.attempts)
    redis.call('LTRIM', attempts_key(webhook), 0, max_attempts - 1)
    redis.call('ZADD', LOG_CHECKS, 'NX', now + LOG_CHECK_MS, webhook)
  end
  write_deliveries(webhook, changes.released)
  log_ended(delivered_key(webhook), webhook, changes.delivered, changes.summaries, max_delivered, now)
  finish(webhook, changes.finished, changes.retried)
  call_with('HSET', last_attempts_key(webhook), changes.last)
  count_attempts(webhook, 'delivered', changes.counts.delivered, now)
  count_attempts(webhook, 'failed', changes.counts.failed, now)
  redis.call('HDEL', CAPPED_UNTIL, webhook)
  if changes.has_recovered then
    redis.call('DEL', failures_key(webhook))
  end
  if changes.failures + changes.refusals > 0 then
    changes.streak = {count_failures(webhook, changes.failures, changes.refusals, refusal_interval, now)}
  end
  if changes.hold > 0 then
    hold_for_receiver(webhook, changes.hold, max_holds, queue_time)
  end
  update_ready(webhook)
end
local reply = {'ok'}
for _, one in ipairs(outcomes) do
  local streak = one.has_failed and touched[one.webhook].streak or {}
  push(reply, one.held, streak[1] or false)
  push(reply, streak[2] or false)
end
return reply
