-- Leases part of a limit, like `window::lease` in the domain crate. Windows have their own hash tags, so this runs
-- without common.lua and does not compare the store id.
-- KEYS[1] the window. ARGV: ms to add to the clock, limit, requested, generation of the limit, length of the longest
--   window in ms, length of a window in ms or '' followed by the ms at which calendar windows end, in order.
-- Returns granted, left, ms until the end, ms of the end.
local skew_ms, limit, requested = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local generation, longest_ms, length_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local DAY_MS = 86400000
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000) + skew_ms

local function next_window_end()
  if length_ms then
    return now + length_ms
  end
  for i = 7, #ARGV do
    if now < tonumber(ARGV[i]) then
      return tonumber(ARGV[i])
    end
  end
  return now + DAY_MS
end

local stored = redis.call('HMGET', KEYS[1], 'ends-at', 'leased', 'generation', 'limit', 'length')
local ends_at, leased = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
local window_generation = tonumber(stored[3] or 0)
local is_later_generation = window_generation > generation
local is_current = window_generation == generation and ends_at <= now + longest_ms
if is_later_generation then
  -- A gateway that does not know a later generation yet is held to it, even if it opens the first window of it.
  generation, limit, length_ms = window_generation, tonumber(stored[4] or limit), tonumber(stored[5] or '')
end
if now >= ends_at or not (is_later_generation or is_current) then
  ends_at, leased = next_window_end(), 0
end
local granted = math.min(requested, math.max(limit - leased, 0))
leased = leased + granted
redis.call('HSET', KEYS[1], 'ends-at', string.format('%.0f', ends_at), 'leased', string.format('%.0f', leased),
  'generation', string.format('%.0f', generation), 'limit', string.format('%.0f', limit),
  'length', length_ms and string.format('%.0f', length_ms) or '')
-- Frees memory: an ended window is ignored.
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', 2 * (ends_at - now) + 60000))
return {granted, math.max(limit - leased, 0), ends_at - now, ends_at}
