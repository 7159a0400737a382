-- Leases a slice of a limit, as the rule of windows in the domain says. Meters have their own hash
-- tags, so this runs without common.lua and compares no store id.
-- KEYS[1] the window. ARGV: ms to add to the clock, limit, length of a window in ms, wanted.
-- Returns granted, left, ms until the end, ms of the end.
local skew_ms, limit, length_ms, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + skew_ms
local ends_at = tonumber(redis.call('HGET', KEYS[1], 'ends-at') or 0)
local leased = tonumber(redis.call('HGET', KEYS[1], 'leased') or 0)
if now >= ends_at then
  ends_at, leased = now + length_ms, 0
end
local granted = math.min(want, math.max(limit - leased, 0))
leased = leased + granted
redis.call('HSET', KEYS[1], 'ends-at', string.format('%.0f', ends_at), 'leased', string.format('%.0f', leased))
-- Only to give memory back: an ended window counts for nothing.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ends_at - now + length_ms + 60000))
return {granted, math.max(limit - leased, 0), ends_at - now, ends_at}
