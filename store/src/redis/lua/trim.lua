-- Removes what is too old, never past the fan-out cursor.
-- ARGV: ms of age of entries, entries to keep, ms of age of secrets, of dead letters, most of a kind.
-- Returns 'ok', entries, secrets and dead letters removed, position through which entries are gone.
local max_age, max_entries = tonumber(argument()), tonumber(argument())
local max_sealed_age, max_dead_age, most = tonumber(argument()), tonumber(argument()), tonumber(argument())
local now = now_ms()

local function trim_stream()
  local excess, removed, last = redis.call('XLEN', STREAM) - max_entries, 0, nil
  for _, entry in ipairs(redis.call('XRANGE', STREAM, '-', position('fan-out'), 'COUNT', most)) do
    if excess <= 0 and now - parts(entry[1]) <= max_age then
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

local function older(key, max_ms)
  return redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. integer(now - max_ms), 'LIMIT', 0, most)
end

local entries = trim_stream()
local dead = older(DEAD_AGES, max_dead_age)
for _, member in ipairs(dead) do
  remove_dead(string.match(member, '^(%S+) (%S+)$'))
end
local dead_sealed = older(DEAD_SEALED_AGES, max_sealed_age)
for _, member in ipairs(dead_sealed) do
  erase_dead_secret(string.match(member, '^(%S+) (%S+)$'))
end
local sealed = older(SEALED_AGES, max_sealed_age)
erase_secrets(sealed)
return {'ok', entries, #sealed + #dead_sealed, #dead, position('trimmed')}
