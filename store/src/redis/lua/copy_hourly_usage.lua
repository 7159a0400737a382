-- Sets the uses of a project's keys in an hour, in the first format, for a copy from another store. Usage has its own
-- hash tags, so this runs without common.lua and does not compare the store id; other keys are derived from KEYS[1],
-- whose tag they share.
-- KEYS[1] the hours of a project, see add_hourly_usage. ARGV: hour, retention of buckets in hours, then key and count
--   alternately.
-- Returns nothing.
local HOUR_MS = 3600000
local prefix = string.sub(KEYS[1], 1, -#'usage-hours' - 1)
local hour, retention_hours = ARGV[1], tonumber(ARGV[2])
local bucket, added = prefix .. 'usage:' .. hour, 0
for i = 3, #ARGV, 2 do
  added = added + tonumber(ARGV[i + 1]) - tonumber(redis.call('HGET', bucket, ARGV[i]) or 0)
  redis.call('HSET', bucket, ARGV[i], ARGV[i + 1])
end
-- The field with the empty name is the sum over all keys.
redis.call('HINCRBY', bucket, '', string.format('%.0f', added))
redis.call('PEXPIREAT', bucket, string.format('%.0f', (tonumber(hour) + retention_hours + 1) * HOUR_MS))
redis.call('ZADD', KEYS[1], hour, hour)
return false
