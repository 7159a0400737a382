-- Functions shared by all operations on queues.
-- A delivery's state is 'attempts lease_end_ms created_ms available_ms token'.
-- Deliveries of early versions have no sequence number. Up to this many of a queue are searched for one.
local MAX_UNSEQUENCED = 1000
-- Arguments in one call of a command: even, because some alternate two values.
local MAX_UNPACKED = 4000
-- The log of a webhook is trimmed once it has this many entries too many.
local LOG_SLACK = 100
-- Ms after which a log with new entries is searched for expired ones.
local LOG_CHECK_MS = 3600000
-- Ms after which the time of the queues is recorded again. It may go back by as much.
local QUEUE_CLOCK_INTERVAL_MS = 1000

-- Returns the time of the clock of the queues, and that of the clock of the store. Records the former.
local function queue_now()
  local now, ahead, recorded = read_queue_clock()
  if now == recorded or now >= recorded + QUEUE_CLOCK_INTERVAL_MS then
    redis.call('HSET', META, 'queue-clock', format_integer(now), 'queue-clock-ahead', format_integer(ahead))
  end
  return now, now - ahead
end

-- Parses a delivery's state; nil without one.
local function parse_delivery(event, state)
  if not state then
    return nil
  end
  local attempts, lease_end, created, available, token =
    string.match(state, '^(%d+) (%d+) (%d+) (%d+) (%S*)$')
  return {
    event = event, attempts = tonumber(attempts), lease_end = tonumber(lease_end), created = tonumber(created),
    available = tonumber(available), token = token,
  }
end

local function format_delivery(attempts, lease_end, created, available, token)
  return string.format('%.0f %.0f %.0f %.0f %s', attempts, lease_end, created, available, token)
end

local function read_delivery(webhook, event)
  return parse_delivery(event, redis.call('HGET', delivery_key(webhook), event))
end

local function push(list, first, second)
  list[#list + 1] = first
  if second ~= nil then
    list[#list + 1] = second
  end
end

-- Calls a command with a list of arguments, in parts that Lua can unpack; does nothing if the list is empty.
local function call_with(command, key, arguments)
  for first = 1, #arguments, MAX_UNPACKED do
    redis.call(command, key, unpack(arguments, first, math.min(first + MAX_UNPACKED - 1, #arguments)))
  end
end

-- Calls a command that reads a value for each of its arguments, in parts that Lua can unpack. Returns the values.
local function read_with(command, key, arguments)
  if #arguments <= MAX_UNPACKED then
    return #arguments > 0 and redis.call(command, key, unpack(arguments)) or {}
  end
  local values = {}
  for first = 1, #arguments, MAX_UNPACKED do
    local last = math.min(first + MAX_UNPACKED - 1, #arguments)
    for i, value in ipairs(redis.call(command, key, unpack(arguments, first, last))) do
      values[first + i - 1] = value
    end
  end
  return values
end

-- Returns the ends of a webhook's cap and of its hold, 0 without one.
local function read_limits(webhook)
  local limits = redis.call('HMGET', CAPPED_UNTIL, webhook, hold_field(webhook))
  return tonumber(limits[1] or 0), tonumber(limits[2] or 0)
end

-- Updates from when a webhook with these limits has deliveries to lease: the due time of its first one, or the later end.
local function update_ready_with(webhook, capped_until, held_until)
  local first = redis.call('ZRANGE', queue_key(webhook), 0, 0, 'WITHSCORES')
  if first[1] then
    redis.call('ZADD', READY, math.max(tonumber(first[2]), capped_until, held_until), webhook)
    return
  end
  redis.call('ZREM', READY, webhook)
  if capped_until > 0 then
    redis.call('HDEL', CAPPED_UNTIL, webhook)
  end
end

local function update_ready(webhook)
  update_ready_with(webhook, read_limits(webhook))
end

-- Writes deliveries of one webhook, leased or not.
local function write_deliveries(webhook, deliveries)
  local states, queue_rows, leased, free = {}, {}, {}, {}
  for _, delivery in ipairs(deliveries) do
    push(states, delivery.event, format_delivery(
      delivery.attempts, delivery.lease_end, delivery.created, delivery.available, delivery.token))
    push(queue_rows, delivery.available, delivery.event)
    if delivery.token == '' then
      push(free, delivery.event)
    else
      push(leased, delivery.lease_end, delivery.event)
    end
  end
  call_with('HSET', delivery_key(webhook), states)
  call_with('ZADD', queue_key(webhook), queue_rows)
  call_with('ZREM', leases_key(webhook), free)
  call_with('ZADD', leases_key(webhook), leased)
end

-- Notes that a webhook has a lease until then.
local function note_lease(webhook, lease_end)
  redis.call('ZADD', LEASING, 'GT', lease_end, webhook)
end

-- Creates deliveries of one webhook, in this order, due at once.
local function enqueue(webhook, events, now)
  local first_sequence = redis.call('HINCRBY', META, 'made', #events) - #events
  local deliveries, sequence_rows, due = {}, {}, queue_now()
  for i, event in ipairs(events) do
    deliveries[i] = {event = event, attempts = 0, lease_end = 0, created = now, available = due, token = ''}
    push(sequence_rows, first_sequence + i, event)
  end
  write_deliveries(webhook, deliveries)
  redis.call('ZADD', sequence_key(webhook), unpack(sequence_rows))
  redis.call('HINCRBY', META, 'deliveries', #events)
end

-- Returns the delivery created first, whenever it is due.
local function oldest_event(webhook)
  if redis.call('ZCARD', sequence_key(webhook)) < redis.call('HLEN', delivery_key(webhook)) then
    for _, event in ipairs(redis.call('ZRANGE', queue_key(webhook), 0, MAX_UNSEQUENCED - 1)) do
      if not redis.call('ZSCORE', sequence_key(webhook), event) then
        return event
      end
    end
  end
  return redis.call('ZRANGE', sequence_key(webhook), 0, 0)[1]
end

local function erase_secrets(events)
  call_with('HDEL', SEALED, events)
  call_with('ZREM', SEALED_AGES, events)
end

-- Returns the creation sequence of a delivery; a new one if it has none.
local function sequence_of(webhook, event)
  return redis.call('ZSCORE', sequence_key(webhook), event) or redis.call('HINCRBY', META, 'made', 1)
end

-- Removes entries from the log of deliveries.
local function unlog(list, webhook, events)
  call_with('ZREM', list, events)
  call_with('HDEL', log_key(webhook), events)
end

-- Adds ended deliveries to the log. The lists alternate sequence and event, and event and summary.
local function log_ended(list, webhook, rows, summaries)
  call_with('ZADD', list, rows)
  call_with('HSET', log_key(webhook), summaries)
end

-- Removes the oldest entries of a list that has too many.
local function limit_log(list, webhook, max)
  local excess = redis.call('ZCARD', list) - max
  if excess > LOG_SLACK then
    unlog(list, webhook, redis.call('ZRANGE', list, 0, excess - 1))
  end
end

-- Has the log of a webhook searched for expired parts after a while.
local function check_log_later(webhook, now)
  redis.call('ZADD', LOG_CHECKS, 'NX', now + LOG_CHECK_MS, webhook)
end

-- Counts attempts of the current hour. The first one of an hour forgets the hours before the last day.
-- Returns whether these are the first ones of the hour, or complete another LOG_SLACK ones.
local function count_attempts(webhook, outcome, count, now)
  if count == 0 then
    return false
  end
  local hour = math.floor(now / 3600000)
  local total = redis.call('HINCRBY', hours_key(webhook), format_integer(hour) .. ' ' .. outcome, count)
  if total > count then
    return math.floor(total / LOG_SLACK) > math.floor((total - count) / LOG_SLACK)
  end
  local counted, old = redis.call('HGETALL', hours_key(webhook)), {}
  for i = 1, #counted, 2 do
    if tonumber(string.match(counted[i], '^%d+')) < hour - 24 then
      push(old, counted[i])
    end
  end
  call_with('HDEL', hours_key(webhook), old)
  return true
end

-- Forgets a delivery of each of these events, an event twice if two webhooks have finished it. The last delivery of an
-- event erases its body and secret.
local function release_events(events)
  local finished, distinct, counts = {}, {}, {}
  for _, event in ipairs(events) do
    if not counts[event] then
      push(distinct, event)
    end
    counts[event] = (counts[event] or 0) + 1
  end
  local left, rest = read_with('HMGET', DELIVERIES_LEFT, distinct), {}
  for i, event in ipairs(distinct) do
    local remaining = tonumber(left[i] or 0) - counts[event]
    if remaining > 0 then
      push(rest, event, remaining)
    else
      push(finished, event)
    end
  end
  call_with('HSET', DELIVERIES_LEFT, rest)
  call_with('HDEL', DELIVERIES_LEFT, finished)
  call_with('HDEL', EVENTS, finished)
  erase_secrets(finished)
end

-- Finishes deliveries of webhooks: lists of {webhook, events, those of them that were attempted before and have a last
-- attempt}.
local function finish_all(finished)
  local all = {}
  for _, one in ipairs(finished) do
    local webhook, events, retried = unpack(one)
    for _, event in ipairs(events) do
      push(all, event)
    end
    call_with('HDEL', delivery_key(webhook), events)
    call_with('HDEL', last_attempts_key(webhook), retried)
    call_with('ZREM', queue_key(webhook), events)
    call_with('ZREM', sequence_key(webhook), events)
    call_with('ZREM', leases_key(webhook), events)
  end
  if #all > 0 then
    redis.call('HINCRBY', META, 'deliveries', -#all)
    release_events(all)
  end
end

local function finish(webhook, events, retried)
  finish_all({{webhook, events, retried}})
end

local function erase_dead_secret(webhook, event)
  redis.call('HDEL', dead_sealed_key(webhook), event)
  redis.call('ZREM', DEAD_SEALED_AGES, webhook .. ' ' .. event)
end

local function remove_dead(webhook, event)
  redis.call('HDEL', dead_key(webhook), event)
  redis.call('ZREM', dead_times_key(webhook), event)
  redis.call('ZREM', DEAD_AGES, webhook .. ' ' .. event)
  redis.call('ZREM', dead_sequence_key(webhook), event)
  redis.call('HDEL', log_key(webhook), event)
  erase_dead_secret(webhook, event)
end

-- Adds the last attempt of a delivery that waited to its summary, which has none. The attempt is one line of JSON.
local function with_last_attempt(webhook, event, attempts, summary)
  local last = attempts > 0 and redis.call('HGET', last_attempts_key(webhook), event)
  return last and string.sub(summary, 1, -2) .. ',"last":' .. last .. '}' or summary
end

-- Returns the summary of a delivery that ends without a worker's report.
local function summary_without_report(webhook, event, state)
  local action, version = string.match(redis.call('HGET', EVENTS, event) or '', '^{"action":"([^"]*)","version":(%d+)')
  local summary = string.format('{"outcome":"dead","type":"%s","version":%s,"created":%.0f,"attempts":%.0f}',
    action or '', version or 0, state.created, state.attempts)
  return with_last_attempt(webhook, event, state.attempts, summary)
end

-- Writes a dead letter with a copy of the event's body and secret, so that it can be resent. Beyond the maximum the
-- oldest is dropped, because this script also runs when memory is full.
local function move_to_dead_letters(webhook, event, attempts, reason, summary, now, max_dead)
  redis.call('ZADD', dead_sequence_key(webhook), sequence_of(webhook, event), event)
  redis.call('HSET', log_key(webhook), event, format_integer(now) .. '\n' .. summary)
  local body = redis.call('HGET', EVENTS, event) or ''
  local secret = redis.call('HGET', SEALED, event)
  local letter = string.format('%.0f\n%.0f\n%s\n', now, attempts, (string.gsub(reason, '\n', ' ')))
  redis.call('HSET', dead_key(webhook), event, letter .. body)
  redis.call('ZADD', dead_times_key(webhook), now, event)
  redis.call('ZADD', DEAD_AGES, now, webhook .. ' ' .. event)
  if secret then
    redis.call('HSET', dead_sealed_key(webhook), event, secret)
    redis.call('ZADD', DEAD_SEALED_AGES, now, webhook .. ' ' .. event)
  end
  while redis.call('ZCARD', dead_times_key(webhook)) > max_dead do
    remove_dead(webhook, redis.call('ZRANGE', dead_times_key(webhook), 0, 0)[1])
    redis.call('HINCRBY', META, 'dead-dropped', 1)
  end
end

-- Returns the attempts and the token of a delivery's state, if its lease has not ended.
local function held_lease(text, now)
  local attempts, lease_end, token = string.match(text or '', '^(%d+) (%d+) %d+ %d+ (%S+)$')
  if token and now < tonumber(lease_end) then
    return tonumber(attempts), token
  end
end

-- Adds a dead letter to a reply: event, letter, sealed secret or nil.
local function add_dead_letter(reply, webhook, event)
  push(reply, event, redis.call('HGET', dead_key(webhook), event))
  push(reply, redis.call('HGET', dead_sealed_key(webhook), event))
end
