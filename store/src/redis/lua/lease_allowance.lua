-- Leases a slice of a limit, as the rule of windows in the domain says. Meters have their own hash
-- tags, so this runs without common.lua and compares no store id.
-- KEYS[1] the window. ARGV: ms to add to the clock, limit, wanted, length of a window in ms or '' and then
--   the ms at which windows of a calendar end, in order.
-- Returns granted, left, ms until the end, ms of the end.
local skew_ms, limit, want, length_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local DAY_MS = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + skew_ms

local function new_end()
  if length_ms then
    return now + length_ms
  end
  for at = 5, #ARGV do
    if now < tonumber(ARGV[at]) then
      return tonumber(ARGV[at])
    end
  end
  return now + DAY_MS
end

local ends_at = tonumber(redis.call('HGET', KEYS[1], 'ends-at') or 0)
local leased = tonumber(redis.call('HGET', KEYS[1], 'leased') or 0)
if now >= ends_at then
  ends_at, leased = new_end(), 0
end
local granted = math.min(want, math.max(limit - leased, 0))
leased = leased + granted
redis.call('HSET', KEYS[1], 'ends-at', string.format('%.0f', ends_at), 'leased', string.format('%.0f', leased))
-- Only to give memory back: an ended window counts for nothing.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', 2 * (ends_at - now) + 60000))
return {granted, math.max(limit - leased, 0), ends_at - now, ends_at}
