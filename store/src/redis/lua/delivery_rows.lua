-- Rows of a list of deliveries: kind, event, sequence, then three values:
--   waiting: state, body of the event, last attempt; dead: summary, letter; delivered and dropped: summary.

-- Gives dead letters of early versions, which have no sequence number, ones below all others: the newest has -1.
local function number_dead_letters(webhook)
  local times, numbers = dead_times_key(webhook), dead_sequence_key(webhook)
  local missing = redis.call('ZCARD', times) - redis.call('ZCARD', numbers)
  if missing <= 0 then
    return
  end
  local next_number = tonumber(redis.call('ZRANGE', numbers, 0, 0, 'WITHSCORES')[2] or 0)
  next_number = math.min(next_number, 0) - missing
  for _, event in ipairs(redis.call('ZRANGE', times, 0, -1)) do
    if not redis.call('ZSCORE', numbers, event) then
      redis.call('ZADD', numbers, next_number, event)
      next_number = next_number + 1
    end
  end
end

local LISTS = {waiting = sequence_key, delivered = delivered_key, dropped = dropped_key, dead = dead_sequence_key}

local held_until

-- Returns the ms until which the webhook of this script is held, 0 without a hold. They are read once.
local function read_hold(webhook)
  held_until = held_until or tonumber(redis.call('HGET', CAPPED_UNTIL, hold_field(webhook)) or 0)
  return held_until
end

-- Returns the state of a delivery with its times on the clock of the store. It is due when its webhook is not held.
local function state_on_store_clock(webhook, event)
  local text, _, ahead = redis.call('HGET', delivery_key(webhook), event), read_queue_clock()
  local state = (ahead > 0 or read_hold(webhook) > 0) and parse_delivery(event, text)
  if not state then
    return text
  end
  local lease_end = state.token ~= '' and state.lease_end - ahead or 0
  local available = math.max(state.available, read_hold(webhook)) - ahead
  return format_delivery(state.attempts, lease_end, state.created, available, state.token)
end

local function add_row(reply, kind, webhook, event, sequence)
  push(reply, kind, event)
  push(reply, sequence)
  if kind == 'waiting' then
    reply[#reply + 1] = state_on_store_clock(webhook, event)
    reply[#reply + 1] = redis.call('HGET', EVENTS, event)
    reply[#reply + 1] = redis.call('HGET', last_attempts_key(webhook), event)
  else
    reply[#reply + 1] = redis.call('HGET', log_key(webhook), event)
    reply[#reply + 1] = redis.call('HGET', dead_key(webhook), event)
    reply[#reply + 1] = false
  end
end
