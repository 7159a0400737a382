-- What all acts on queues share.
-- A delivery's state is 'attempts lease_end_ms created_ms available_ms token'.
-- Made before creation was written down: so many of a queue's first are looked through for one that was.
local MAX_UNNUMBERED = 1000

local function delivery(webhook, event)
  local state = redis.call('HGET', delivery_key(webhook), event)
  if not state then
    return nil
  end
  local attempts, lease_end, created, available, token =
    string.match(state, '^(%d+) (%d+) (%d+) (%d+) (%S*)$')
  return {
    attempts = tonumber(attempts), lease_end = tonumber(lease_end), created = tonumber(created),
    available = tonumber(available), token = token,
  }
end

-- From when a webhook has something to lease: its first delivery, or the end of its cap.
local function refresh(webhook)
  local first = redis.call('ZRANGE', queue_key(webhook), 0, 0, 'WITHSCORES')
  if not first[1] then
    redis.call('ZREM', READY, webhook)
    redis.call('HDEL', CAPPED, webhook)
    return
  end
  local capped = tonumber(redis.call('HGET', CAPPED, webhook) or 0)
  redis.call('ZADD', READY, math.max(tonumber(first[2]), capped), webhook)
end

local function put(webhook, event, state)
  redis.call('HSET', delivery_key(webhook), event, string.format('%.0f %.0f %.0f %.0f %s',
    state.attempts, state.lease_end, state.created, state.available, state.token))
  redis.call('ZADD', queue_key(webhook), state.available, event)
  if state.token == '' then
    redis.call('ZREM', held_key(webhook), event)
    redis.call('ZREM', LEASED, webhook .. ' ' .. event)
  else
    redis.call('ZADD', held_key(webhook), state.lease_end, event)
    redis.call('ZADD', LEASED, state.lease_end, webhook .. ' ' .. event)
  end
end

local function enqueue(webhook, event, now)
  put(webhook, event, {attempts = 0, lease_end = 0, created = now, available = now, token = ''})
  redis.call('ZADD', made_key(webhook), redis.call('HINCRBY', META, 'made', 1), event)
  redis.call('HINCRBY', META, 'deliveries', 1)
end

-- The delivery that was made first, whenever it is due.
local function oldest(webhook)
  if redis.call('ZCARD', made_key(webhook)) < redis.call('HLEN', delivery_key(webhook)) then
    for _, event in ipairs(redis.call('ZRANGE', queue_key(webhook), 0, MAX_UNNUMBERED - 1)) do
      if not redis.call('ZSCORE', made_key(webhook), event) then
        return event
      end
    end
  end
  return redis.call('ZRANGE', made_key(webhook), 0, 0)[1]
end

local function erase_secret(event)
  redis.call('HDEL', SEALED, event)
  redis.call('ZREM', SEALED_AGES, event)
end

-- Ends a delivery. The event's last one to end erases its body and its secret.
local function finish(webhook, event)
  redis.call('HDEL', delivery_key(webhook), event)
  redis.call('ZREM', queue_key(webhook), event)
  redis.call('ZREM', made_key(webhook), event)
  redis.call('ZREM', held_key(webhook), event)
  redis.call('ZREM', LEASED, webhook .. ' ' .. event)
  redis.call('HINCRBY', META, 'deliveries', -1)
  if redis.call('HINCRBY', EVENTS_LEFT, event, -1) <= 0 then
    redis.call('HDEL', EVENTS_LEFT, event)
    redis.call('HDEL', EVENTS, event)
    erase_secret(event)
  end
end

local function erase_dead_secret(webhook, event)
  redis.call('HDEL', dead_sealed_key(webhook), event)
  redis.call('ZREM', DEAD_SEALED_AGES, webhook .. ' ' .. event)
end

local function remove_dead(webhook, event)
  redis.call('HDEL', dead_key(webhook), event)
  redis.call('ZREM', dead_times_key(webhook), event)
  redis.call('ZREM', DEAD_AGES, webhook .. ' ' .. event)
  erase_dead_secret(webhook, event)
end

-- Writes a dead letter, with a copy of the event's body and secret, so that it can be sent again. Of too many the
-- oldest goes, for these acts go on when memory is full.
local function bury(webhook, event, attempts, reason, now, max_dead)
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

-- The delivery, if this token holds its lease now.
local function held(webhook, event, token, now)
  local state = delivery(webhook, event)
  if state and state.token == token and now < state.lease_end then
    return state
  end
  return nil
end
