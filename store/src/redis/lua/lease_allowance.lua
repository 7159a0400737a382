-- Leases a slice of a limit, as the rule of windows in the domain says. Meters have their own hash
-- tags, so this runs without common.lua and compares no store id.
-- KEYS[1] the window. ARGV: ms to add to the clock, limit, wanted, generation of the limit, length of the longest
--   window in ms, length of a window in ms or '' and then the ms at which windows of a calendar end, in order.
-- Returns granted, left, ms until the end, ms of the end.
local skew_ms, limit, want = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local generation, longest_ms, length_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local DAY_MS = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + skew_ms

local function new_end()
  if length_ms then
    return now + length_ms
  end
  for at = 7, #ARGV do
    if now < tonumber(ARGV[at]) then
      return tonumber(ARGV[at])
    end
  end
  return now + DAY_MS
end

local stored = redis.call('HMGET', KEYS[1], 'ends-at', 'leased', 'generation', 'limit', 'length')
local ends_at, leased = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
local of_window = tonumber(stored[3] or 0)
local is_of_later = of_window > generation
local is_in_reach = of_window == generation and ends_at <= now + longest_ms
if is_of_later then
  -- Who has not heard of a later generation is held to it, also where it is the first in a new window.
  generation, limit, length_ms = of_window, tonumber(stored[4] or limit), tonumber(stored[5] or '')
end
if now >= ends_at or not (is_of_later or is_in_reach) then
  ends_at, leased = new_end(), 0
end
local granted = math.min(want, math.max(limit - leased, 0))
leased = leased + granted
redis.call('HSET', KEYS[1], 'ends-at', string.format('%.0f', ends_at), 'leased', string.format('%.0f', leased),
  'generation', string.format('%.0f', generation), 'limit', string.format('%.0f', limit),
  'length', length_ms and string.format('%.0f', length_ms) or '')
-- Only to give memory back: an ended window counts for nothing.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', 2 * (ends_at - now) + 60000))
return {granted, math.max(limit - leased, 0), ends_at - now, ends_at}
