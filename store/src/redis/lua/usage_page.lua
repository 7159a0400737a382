-- Reads the uses of some keys of a group.
-- KEYS[1], KEYS[2] the uses of the group, see key_uses. ARGV: ms to add to the clock, cursor, number of keys, earliest
--   hour of a last use.
-- Returns the time in ms, the next cursor, '0' at the end, then for each key its id and its uses, as key_uses. A key may be
--   on several pages.
local time = redis.call('TIME')
local page = redis.call('HSCAN', KEYS[1], ARGV[2], 'COUNT', ARGV[3])
local fields, earliest, keys, recent = page[2], tonumber(ARGV[4]), {}, {}
for i = 1, #fields, 2 do
  local value = fields[i + 1]
  if #value < 3 or struct.unpack('>I3', value) >= earliest then
    keys[#keys + 1], recent[#recent + 1] = fields[i], value
  end
end
local past = #keys > 0 and redis.call('HMGET', KEYS[2], unpack(keys))
local reply = {string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[1])), page[1]}
for i, key in ipairs(keys) do
  reply[3 * i], reply[3 * i + 1], reply[3 * i + 2] = key, recent[i], past[i] or ''
end
return reply
