-- Adds uses of a project's keys to the current hour. Meters have their own hash tags, so this runs without common.lua
-- and compares no store id; other keys are named from KEYS[1], whose tag they share.
-- KEYS[1] the hours of a project, `…usage-hours`: sorted set of hours since the epoch.
-- ARGV: ms to add to the clock, hours for which buckets are kept, then key and count in turn.
-- Returns nothing.
local HOUR_MS = 3600000
local prefix = string.sub(KEYS[1], 1, -#'usage-hours' - 1)
local kept_hours = tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])
local hour = math.floor(now / HOUR_MS)
local bucket, last_used = prefix .. 'usage:' .. hour, prefix .. 'last-used'
local total, used, now_text = 0, {}, string.format('%.0f', now)
for at = 3, #ARGV, 2 do
  total = total + tonumber(ARGV[at + 1])
  redis.call('HINCRBY', bucket, ARGV[at], ARGV[at + 1])
  used[#used + 1], used[#used + 2] = ARGV[at], now_text
end
redis.call('HSET', last_used, unpack(used))
-- The field without a name is all keys together.
redis.call('HINCRBY', bucket, '', string.format('%.0f', total))
-- Only to give memory back: hours that are too old are not asked for.
redis.call('PEXPIREAT', bucket, string.format('%.0f', (hour + kept_hours + 1) * HOUR_MS))
redis.call('ZADD', KEYS[1], hour, hour)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. (hour - kept_hours))
return false
