-- Gives back what was leased in a window and not used; nothing if that window is over.
-- KEYS[1] the window. ARGV: ms to add to the clock, ms of the window's end, how much.
-- Returns nothing.
local skew_ms, reset, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + skew_ms
local ends_at = tonumber(redis.call('HGET', KEYS[1], 'ends-at') or 0)
if ends_at == reset and now < ends_at then
  local leased = tonumber(redis.call('HGET', KEYS[1], 'leased') or 0)
  redis.call('HSET', KEYS[1], 'leased', string.format('%.0f', math.max(leased - count, 0)))
end
return false
