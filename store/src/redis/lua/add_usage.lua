-- Adds uses of keys of a project and partition group to the current hour, and sets their last use to now. Usage has its
-- own hash tags, so this runs without common.lua and does not compare the store id.
-- KEYS[1] the recent uses of the group, `…key-usage`: hash, key -> uses (see usage/recent.rs), '' -> those of all keys.
-- ARGV: ms to add to the clock, then key and count alternately, each key once.
-- Returns nothing.
local HOUR_MS = 3600000
local HEAD_BYTES, TIME_BYTES = 11, 6
local MAX_COUNT = 2 ^ 40 - 1 -- five bytes
local byte, char, sub, floor = string.byte, string.char, string.sub, math.floor
local function leb128(number)
  local text = ''
  while number >= 128 do
    text, number = text .. char(number % 128 + 128), floor(number / 128)
  end
  return text .. char(number)
end

local clock = redis.call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000) + tonumber(ARGV[1])
local hour = floor(now / HOUR_MS)
local time = struct.pack('>I3I3', hour, now % HOUR_MS)
local hour1, hour2, hour3 = byte(time, 1, 3)
local keys, key_count, arguments = {}, (#ARGV - 1) / 2, ARGV
for i = 1, key_count do
  keys[i] = arguments[2 * i]
end
local stored = redis.call('HMGET', KEYS[1], unpack(keys))
local packed_counts = {}
for i = 1, key_count do
  local value, count = stored[i], arguments[2 * i + 1] + 0
  local last_used, records = time, ''
  if value and #value >= HEAD_BYTES then
    local last1, last2, last3, _, _, _, c1, c2, c3, c4, c5 = byte(value, 1, HEAD_BYTES)
    local last_count = (((c1 * 256 + c2) * 256 + c3) * 256 + c4) * 256 + c5
    records = sub(value, HEAD_BYTES + 1)
    if last3 == hour3 and last2 == hour2 and last1 == hour1 then
      count = count + last_count
    else
      local gap = hour - (last1 * 256 + last2) * 256 - last3
      if gap < 0 then
        -- Not in an hour before the last use: another server's clock may have been ahead.
        last_used, count = sub(value, 1, TIME_BYTES), count + last_count
      elseif last_count > 0 or records ~= '' then
        -- A record that follows others is needed even without uses: they count their hours from it.
        records = records .. (gap == 1 and leb128(last_count * 2) or leb128(last_count * 2 + 1) .. leb128(gap))
      end
    end
  end
  local packed_count = packed_counts[count]
  if not packed_count then
    packed_count = struct.pack('>I5', math.min(count, MAX_COUNT))
    packed_counts[count] = packed_count
  end
  arguments[2 * i + 1] = last_used .. packed_count .. records
end
redis.call('HSET', KEYS[1], unpack(arguments, 2))
return false
