-- Counting of a webhook's failures in a row, and the time for which its receiver pauses it.

-- Sends nothing to a webhook until this time, or until a later one that was set before.
local function hold_queue(webhook, until_ms)
  local field = hold_field(webhook)
  local current = tonumber(redis.call('HGET', CAPPED_UNTIL, field) or 0)
  redis.call('HSET', CAPPED_UNTIL, field, format_integer(math.max(current, until_ms)))
end

-- Counts failures, and refusals as one failure in each interval, after those counted before.
-- Returns failures in a row, and ms since the first one.
local function count_failures(webhook, failures, refusals, refusal_interval, now)
  local key = failures_key(webhook)
  local first, refused_at = unpack(redis.call('HMGET', key, 'first', 'refused'))
  if refusals > 0 and (not refused_at or now - refused_at >= refusal_interval) then
    failures = failures + 1
    redis.call('HSET', key, 'refused', format_integer(now))
  end
  if not first then
    first = now
    redis.call('HSET', key, 'first', format_integer(now))
  end
  return redis.call('HINCRBY', key, 'failures', failures), math.max(now - first, 0)
end

-- Holds a webhook because its receiver asked for it, for max_holds ms in all since the first time after a 2xx.
local function hold_for_receiver(webhook, ms, max_holds, now)
  local held_since = tonumber(redis.call('HGET', failures_key(webhook), 'held') or now)
  redis.call('HSET', failures_key(webhook), 'held', format_integer(held_since))
  local until_ms = math.min(now + ms, held_since + max_holds)
  if until_ms > now then
    hold_queue(webhook, until_ms)
  end
end
