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
local max_holds, count = tonumber(next_argument()), tonumber(next_argument())
local queue_time, now = queue_now()
local now_text = format_integer(now)
-- Places of the arguments of a settlement after that of its webhook, and their number.
local EVENT, TOKEN, STEP, DETAIL, OUTCOME, HOLD, ATTEMPT, SUMMARY, SIZE = 1, 2, 3, 4, 5, 6, 7, 8, 9
local first_settlement = argument_index + 1
local last_settlement = argument_index + SIZE * count

-- Notes what an attempt says about the receiver. A 2xx ends the failures before it.
local function note_outcome(changes, outcome, hold)
  if outcome == 'delivered' then
    changes.delivered_attempts = changes.delivered_attempts + 1
    changes.has_recovered, changes.failures, changes.refusals = true, 0, 0
    return
  end
  changes.failed_attempts = changes.failed_attempts + 1
  if hold == '' then
    changes.failures = changes.failures + 1
  else
    changes.refusals = changes.refusals + 1
    changes.hold = math.max(changes.hold, tonumber(hold))
  end
end

-- Adds a delivery that is retried or released to the changes of its webhook.
local function release(changes, at, state)
  if ARGV[at + STEP] == 'retry' then
    state.attempts = state.attempts + 1
  end
  state.token, state.lease_end, state.available = '', 0, queue_time + ARGV[at + DETAIL]
  push(changes.released, state)
  if ARGV[at + SUMMARY] ~= '' then
    push(changes.last, state.event, ARGV[at + SUMMARY])
  end
end

-- Adds a delivery that ends to the changes of its webhook.
local function finish_one(changes, at, event, attempts, sequence)
  local step = ARGV[at + STEP]
  if step == 'done' then
    push(changes.delivered, sequence or redis.call('HINCRBY', META, 'made', 1), event)
    push(changes.summaries, event, now_text .. '\n' .. ARGV[at + SUMMARY])
  elseif step == 'dead' then
    local made, summary = attempts + 1, ARGV[at + SUMMARY]
    if ARGV[at + OUTCOME] == '' then
      made, summary = attempts, with_last_attempt(ARGV[at], event, attempts, summary)
    end
    move_to_dead_letters(ARGV[at], event, made, ARGV[at + DETAIL], summary, now, max_dead)
  end
  push(changes.finished, event)
  if attempts > 0 then
    push(changes.retried, event)
  end
end

-- Settles one delivery, if its lease is held. Returns whether it is.
local function settle(changes, at, text, sequence)
  local event, step = ARGV[at + EVENT], ARGV[at + STEP]
  local attempts, token = held_lease(text, queue_time)
  if token ~= ARGV[at + TOKEN] or changes.seen[event] then
    return false
  end
  changes.seen[event] = true
  if ARGV[at + ATTEMPT] ~= '' then
    push(changes.attempts, ARGV[at + ATTEMPT])
  end
  if ARGV[at + OUTCOME] ~= '' then
    note_outcome(changes, ARGV[at + OUTCOME], ARGV[at + HOLD])
  end
  if step == 'retry' or step == 'wait' then
    release(changes, at, parse_delivery(event, text))
  else
    finish_one(changes, at, event, attempts, sequence)
  end
  return true
end

-- Settles the deliveries of a webhook, whose arguments begin at these places. Returns the changes.
local function settle_all(webhook, places, held)
  local changes = {
    attempts = {}, released = {}, finished = {}, retried = {}, last = {}, delivered = {}, summaries = {}, seen = {},
    delivered_attempts = 0, failed_attempts = 0, has_recovered = false, failures = 0, refusals = 0, hold = 0,
  }
  local events = {}
  for i, at in ipairs(places) do
    events[i] = ARGV[at + EVENT]
  end
  local states = read_with('HMGET', delivery_key(webhook), events)
  local sequences = read_with('ZMSCORE', sequence_key(webhook), events)
  for i, at in ipairs(places) do
    held[at] = settle(changes, at, states[i], sequences[i])
  end
  return changes
end

-- Writes the attempts and the log of a webhook, and limits them now and then.
local function write_log(webhook, changes)
  if #changes.attempts > 0 then
    call_with('LPUSH', attempts_key(webhook), changes.attempts)
    redis.call('LTRIM', attempts_key(webhook), 0, max_attempts - 1)
  end
  log_ended(delivered_key(webhook), webhook, changes.delivered, changes.summaries)
  call_with('HSET', last_attempts_key(webhook), changes.last)
  local is_due = count_attempts(webhook, 'delivered', changes.delivered_attempts, now)
  if count_attempts(webhook, 'failed', changes.failed_attempts, now) or is_due then
    limit_log(delivered_key(webhook), webhook, max_delivered)
    check_log_later(webhook, now)
  end
end

-- Writes what the attempts of a webhook say about its receiver. Returns the failures in a row, if it has failed.
local function write_health(webhook, changes)
  if changes.has_recovered then
    redis.call('DEL', failures_key(webhook))
  end
  if changes.hold > 0 then
    hold_for_receiver(webhook, changes.hold, max_holds, queue_time)
  end
  if changes.failures + changes.refusals > 0 then
    return {count_failures(webhook, changes.failures, changes.refusals, refusal_interval, now)}
  end
end

local places_by_webhook, held, streaks, finished = {}, {}, {}, {}
for at = first_settlement, last_settlement, SIZE do
  local webhook = ARGV[at]
  local places = places_by_webhook[webhook]
  if places then
    places[#places + 1] = at
  else
    places_by_webhook[webhook] = {at}
  end
end
for webhook, places in pairs(places_by_webhook) do
  local changes = settle_all(webhook, places, held)
  if next(changes.seen) then
    write_deliveries(webhook, changes.released)
    write_log(webhook, changes)
    finished[#finished + 1] = {webhook, changes.finished, changes.retried}
    streaks[webhook] = write_health(webhook, changes)
  end
end
finish_all(finished)
for _, one in ipairs(finished) do
  local webhook = one[1]
  local capped_until, held_until = read_limits(webhook)
  if capped_until > 0 then
    redis.call('HDEL', CAPPED_UNTIL, webhook)
  end
  update_ready_with(webhook, 0, held_until)
end
local reply = {'ok'}
for at = first_settlement, last_settlement, SIZE do
  local streak = held[at] and ARGV[at + OUTCOME] == 'failed' and streaks[ARGV[at]]
  push(reply, held[at] and 'yes' or 'no', streak and streak[1] or false)
  reply[#reply + 1] = streak and streak[2] or false
end
return reply
