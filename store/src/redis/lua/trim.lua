-- Removes expired data, never stream entries past the fan-out cursor, and gateways whose lease has ended.
-- ARGV: maximum age of entries in ms, maximum entries, maximum age in ms of secrets, of dead letters and of what the
--   logs of webhooks have, the time before which attempts are too old (RFC 3339), max per kind.
-- Returns 'ok', entries, secrets and dead letters removed, position through which entries are gone.
local max_age, max_entries = tonumber(next_argument()), tonumber(next_argument())
local max_sealed_age, max_dead_age = tonumber(next_argument()), tonumber(next_argument())
local max_log_age, oldest_attempt = tonumber(next_argument()), next_argument()
local max = tonumber(next_argument())
local now = now_ms()
-- Logs searched in one call.
local MAX_LOGS = 10

local function trim_stream()
  local excess, removed, last = redis.call('XLEN', STREAM) - max_entries, 0, nil
  for _, entry in ipairs(redis.call('XRANGE', STREAM, '-', meta_position('fan-out'), 'COUNT', max)) do
    if excess <= 0 and now - split_version(entry[1]) <= max_age then
      break
    end
    excess, removed, last = excess - 1, removed + 1, entry[1]
    redis.call('XDEL', STREAM, entry[1])
  end
  if last then
    redis.call('HSET', META, 'trimmed', last)
  end
  return removed
end

local function members_older_than(key, max_ms)
  return redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. format_integer(now - max_ms), 'LIMIT', 0, max)
end

-- Removes entries of a log that ended too long ago. They are in the order of their creation, so up to a batch is read.
local function trim_log(list, webhook)
  local events, expired = redis.call('ZRANGE', list, 0, max - 1), {}
  if #events == 0 then
    return
  end
  for i, line in ipairs(redis.call('HMGET', log_key(webhook), unpack(events))) do
    if not line or tonumber(string.match(line, '^%d+')) < now - max_log_age then
      push(expired, events[i])
    end
  end
  unlog(list, webhook, expired)
end

local function trim_attempts(webhook)
  local key, keep = attempts_key(webhook), redis.call('LLEN', attempts_key(webhook))
  local lines = redis.call('LRANGE', key, 0, -1)
  while keep > 0 and (string.match(lines[keep], '"at":"([^"]*)"') or '') < oldest_attempt do
    keep = keep - 1
  end
  if keep == 0 then
    redis.call('DEL', key)
  else
    redis.call('LTRIM', key, 0, keep - 1)
  end
end

local function trim_logs()
  local webhooks = redis.call('ZRANGEBYSCORE', LOG_CHECKS, '-inf', format_integer(now), 'LIMIT', 0, MAX_LOGS)
  for _, webhook in ipairs(webhooks) do
    trim_log(delivered_key(webhook), webhook)
    trim_log(dropped_key(webhook), webhook)
    trim_attempts(webhook)
    local recoveries = trim_recoveries(webhook, now - max_log_age)
    local is_empty = redis.call('ZCARD', delivered_key(webhook)) == 0 and redis.call('ZCARD', dropped_key(webhook)) == 0
      and redis.call('LLEN', attempts_key(webhook)) == 0 and recoveries == 0
    if is_empty then
      redis.call('ZREM', LOG_CHECKS, webhook)
    else
      redis.call('ZADD', LOG_CHECKS, now + LOG_CHECK_MS, webhook)
    end
  end
end

-- Forgets leases that have ended.
local function trim_leases()
  local last = format_integer(read_queue_clock())
  redis.call('ZREMRANGEBYSCORE', LEASING, '-inf', last)
  redis.call('ZREMRANGEBYSCORE', EARLY_LEASED, '-inf', last)
end

local entries = trim_stream()
trim_logs()
trim_leases()
remove_ended_gateways(now)
local dead = members_older_than(DEAD_AGES, max_dead_age)
for _, member in ipairs(dead) do
  remove_dead(string.match(member, '^(%S+) (%S+)$'))
end
local dead_sealed = members_older_than(DEAD_SEALED_AGES, max_sealed_age)
for _, member in ipairs(dead_sealed) do
  erase_dead_secret(string.match(member, '^(%S+) (%S+)$'))
end
local sealed = members_older_than(SEALED_AGES, max_sealed_age)
erase_secrets(sealed)
return {'ok', entries, #sealed + #dead_sealed, #dead, meta_position('trimmed')}
