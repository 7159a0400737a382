-- Adds uses of keys of a project and partition group to the current hour, and sets their last use to now. Usage has its
-- own hash tags, so this runs without common.lua and does not compare the store id.
-- KEYS[1] the uses of the group, `…key-usage`: hash, key -> packed uses (see usage/packed.rs), '' -> those of all keys.
-- ARGV: ms to add to the clock, then key and count alternately, each key once.
-- Returns nothing.
local HOUR_MS = 3600000
local HEAD, HEAD_BYTES = '>I6I5', 11 -- ms of the last use, uses in its hour
local MAX_HOUR_COUNT = 2 ^ 40 - 1
local floor, pack, unpack_head, sub = math.floor, struct.pack, struct.unpack, string.sub
local function leb128(number)
  local text = ''
  while number >= 128 do
    text, number = text .. string.char(number % 128 + 128), floor(number / 128)
  end
  return text .. string.char(number)
end

local time = redis.call('TIME')
local now = time[1] * 1000 + floor(time[2] / 1000) + tonumber(ARGV[1])
local keys, counts, total = {''}, {0}, 0
for i = 2, #ARGV, 2 do
  local count = tonumber(ARGV[i + 1])
  keys[#keys + 1], counts[#counts + 1], total = ARGV[i], count, total + count
end
counts[1] = total
local rows, stored = {}, redis.call('HMGET', KEYS[1], unpack(keys))
for i, count in ipairs(counts) do
  local at, earlier, value = now, '', stored[i]
  if value and #value >= HEAD_BYTES then
    local last_used, open = unpack_head(HEAD, value)
    earlier = sub(value, HEAD_BYTES + 1)
    -- Another server's clock may have been ahead.
    if last_used > now then at = last_used end
    local gap = floor(at / HOUR_MS) - floor(last_used / HOUR_MS)
    if gap == 0 then
      count = count + open
    elseif open > 0 or earlier ~= '' then
      -- Before the first record comes the length of the block. A record that follows others is needed even without uses:
      -- they count their hours from it.
      if earlier == '' then earlier = '\0' end
      earlier = earlier .. (gap == 1 and leb128(open * 2) or leb128(open * 2 + 1) .. leb128(gap))
    end
  end
  rows[2 * i - 1], rows[2 * i] = keys[i], pack(HEAD, at, math.min(count, MAX_HOUR_COUNT)) .. earlier
end
redis.call('HSET', KEYS[1], unpack(rows))
return false
