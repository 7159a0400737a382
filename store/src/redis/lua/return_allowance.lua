-- Returns unused requests of a lease; does nothing if the window has ended.
-- KEYS[1] the window. ARGV: ms to add to the clock, generation of the limit, ms of the window's end, count.
-- Returns nothing.
local skew_ms, generation, reset, count = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + skew_ms
local stored = redis.call('HMGET', KEYS[1], 'ends-at', 'leased', 'generation')
local ends_at, leased = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
if ends_at == reset and tonumber(stored[3] or 0) == generation and now < ends_at then
  redis.call('HSET', KEYS[1], 'leased', string.format('%.0f', math.max(leased - count, 0)))
end
return false
