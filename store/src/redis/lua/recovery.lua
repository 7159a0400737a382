-- Functions shared by the operations on recoveries: jobs that send dead and dropped deliveries of a webhook again.
-- The state is 'status created_ms finished_ms cursor recovered skipped\nrequest'. The cursor is the sequence through
-- which deliveries are handled, '-' at the start.

local function parse_recovery(stored)
  if not stored then
    return nil
  end
  local status, created, finished, cursor, recovered, skipped, request =
    string.match(stored, '^(%a+) (%d+) (%d+) (%S+) (%d+) (%d+)\n(.*)$')
  return {
    status = status, created = created, finished = finished, cursor = cursor,
    recovered = tonumber(recovered), skipped = tonumber(skipped), request = request,
  }
end

local function read_recovery(webhook, id)
  return parse_recovery(redis.call('HGET', recoveries_key(webhook), id))
end

local function write_recovery(webhook, id, recovery)
  redis.call('HSET', recoveries_key(webhook), id, string.format('%s %s %s %s %.0f %.0f\n%s',
    recovery.status, recovery.created, recovery.finished, recovery.cursor, recovery.recovered, recovery.skipped,
    recovery.request))
end

-- Sets the status of a recovery that ends. The caller writes it.
local function end_recovery(webhook, id, recovery, status, now)
  recovery.status, recovery.finished = status, string.format('%.0f', now)
  redis.call('ZREM', RECOVERING, webhook .. ' ' .. id)
  redis.call('ZADD', LOG_CHECKS, 'NX', now + 3600000, webhook)
end

-- Adds a recovery to a reply: id, then the parts of its state.
local function add_recovery(reply, id, recovery)
  for _, value in ipairs({
    id, recovery.status, recovery.created, recovery.finished, recovery.cursor,
    string.format('%.0f', recovery.recovered), string.format('%.0f', recovery.skipped), recovery.request,
  }) do
    reply[#reply + 1] = value
  end
end

-- Returns how many deliveries of a webhook are due or in flight at a time of the clock of the queues.
local function open_deliveries(webhook, now)
  return redis.call('ZCOUNT', queue_key(webhook), '-inf', format_integer(now))
    + redis.call('ZCOUNT', leases_key(webhook), '(' .. format_integer(now), '+inf')
end

-- Removes the recoveries of a removed webhook.
local function drop_recoveries(webhook)
  local stored = redis.call('HGETALL', recoveries_key(webhook))
  for i = 1, #stored, 2 do
    redis.call('ZREM', RECOVERING, webhook .. ' ' .. stored[i])
  end
  redis.call('DEL', recoveries_key(webhook))
end

-- Removes recoveries that ended before a time. Returns how many are left.
local function trim_recoveries(webhook, oldest)
  local stored, left = redis.call('HGETALL', recoveries_key(webhook)), 0
  for i = 1, #stored, 2 do
    local recovery = parse_recovery(stored[i + 1])
    if recovery.status ~= 'running' and tonumber(recovery.finished) < oldest then
      redis.call('HDEL', recoveries_key(webhook), stored[i])
    else
      left = left + 1
    end
  end
  return left
end
