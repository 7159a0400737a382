-- Adds uses of a project's keys to the current hour, in the first format. Usage has its own hash tags, so this runs
-- without common.lua and does not compare the store id; other keys are derived from KEYS[1], whose tag they share.
-- KEYS[1] the hours of a project, `…usage-hours`: sorted set of hours since the epoch.
-- ARGV: ms to add to the clock, retention of buckets in hours, then key and count alternately.
-- Returns nothing.
local HOUR_MS = 3600000
local prefix = string.sub(KEYS[1], 1, -#'usage-hours' - 1)
local retention_hours = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local hour = math.floor(now / HOUR_MS)
local bucket, last_used = prefix .. 'usage:' .. hour, prefix .. 'last-used'
local total, last_used_rows, now_text = 0, {}, string.format('%.0f', now)
for i = 3, #ARGV, 2 do
  total = total + tonumber(ARGV[i + 1])
  redis.call('HINCRBY', bucket, ARGV[i], ARGV[i + 1])
  last_used_rows[#last_used_rows + 1], last_used_rows[#last_used_rows + 2] = ARGV[i], now_text
end
redis.call('HSET', last_used, unpack(last_used_rows))
-- The field with the empty name is the sum over all keys.
redis.call('HINCRBY', bucket, '', string.format('%.0f', total))
-- Frees memory: hours past the retention are never read.
redis.call('PEXPIREAT', bucket, string.format('%.0f', (hour + retention_hours + 1) * HOUR_MS))
redis.call('ZADD', KEYS[1], hour, hour)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (hour - retention_hours))
return false
