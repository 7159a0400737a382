-- Removes expired data, never stream entries past the fan-out cursor.
-- ARGV: maximum age of entries in ms, maximum entries, maximum age in ms of secrets and of dead letters, max per kind.
-- Returns 'ok', entries, secrets and dead letters removed, position through which entries are gone.
local max_age, max_entries = tonumber(next_argument()), tonumber(next_argument())
local max_sealed_age, max_dead_age = tonumber(next_argument()), tonumber(next_argument())
local max = tonumber(next_argument())
local now = now_ms()

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

local entries = trim_stream()
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
