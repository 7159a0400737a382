-- What all acts on queues share.
-- A delivery's state is 'attempts lease_end_ms created_ms available_ms token'.
-- Made before creation was written down: so many of a queue's first are looked through for one that was.
local MAX_UNNUMBERED = 1000

-- A delivery out of its state, or nil without one.
local function parsed(event, state)
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

local function delivery(webhook, event)
  return parsed(event, redis.call('HGET', delivery_key(webhook), event))
end

local function push(list, value, other)
  list[#list + 1] = value
  if other ~= nil then
    list[#list + 1] = other
  end
end

-- A command with any number of arguments; without any there is nothing to do.
local function call_with(command, key, arguments)
  if #arguments > 0 then
    redis.call(command, key, unpack(arguments))
  end
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

-- Writes deliveries of one webhook, each leased or free.
local function put(webhook, deliveries)
  local states, due, held, leased, free, unleased = {}, {}, {}, {}, {}, {}
  for _, one in ipairs(deliveries) do
    local member = webhook .. ' ' .. one.event
    push(states, one.event, string.format('%.0f %.0f %.0f %.0f %s',
      one.attempts, one.lease_end, one.created, one.available, one.token))
    push(due, one.available, one.event)
    if one.token == '' then
      push(free, one.event)
      push(unleased, member)
    else
      push(held, one.lease_end, one.event)
      push(leased, one.lease_end, member)
    end
  end
  call_with('HSET', delivery_key(webhook), states)
  call_with('ZADD', queue_key(webhook), due)
  call_with('ZREM', held_key(webhook), free)
  call_with('ZREM', LEASED, unleased)
  call_with('ZADD', held_key(webhook), held)
  call_with('ZADD', LEASED, leased)
end

-- Makes deliveries of one webhook, in this order.
local function enqueue(webhook, events, now)
  local made = redis.call('HINCRBY', META, 'made', #events) - #events
  local deliveries, numbers = {}, {}
  for place, event in ipairs(events) do
    deliveries[place] = {event = event, attempts = 0, lease_end = 0, created = now, available = now, token = ''}
    push(numbers, made + place, event)
  end
  put(webhook, deliveries)
  redis.call('ZADD', made_key(webhook), unpack(numbers))
  redis.call('HINCRBY', META, 'deliveries', #events)
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

local function erase_secrets(events)
  call_with('HDEL', SEALED, events)
  call_with('ZREM', SEALED_AGES, events)
end

-- Ends deliveries of one webhook. An event's last one to end erases its body and its secret.
local function finish(webhook, events)
  if #events == 0 then
    return
  end
  local members, over = {}, {}
  for _, event in ipairs(events) do
    push(members, webhook .. ' ' .. event)
    if redis.call('HINCRBY', EVENTS_LEFT, event, -1) <= 0 then
      push(over, event)
    end
  end
  call_with('HDEL', delivery_key(webhook), events)
  call_with('ZREM', queue_key(webhook), events)
  call_with('ZREM', made_key(webhook), events)
  call_with('ZREM', held_key(webhook), events)
  call_with('ZREM', LEASED, members)
  redis.call('HINCRBY', META, 'deliveries', -#events)
  call_with('HDEL', EVENTS_LEFT, over)
  call_with('HDEL', EVENTS, over)
  erase_secrets(over)
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
