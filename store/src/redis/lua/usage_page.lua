-- Reads the uses of some keys of a group.
-- KEYS[1], KEYS[2] the uses of the group, see key_uses. ARGV: cursor, number of keys, earliest hour of a last use.
-- Returns the next cursor, '0' at the end, then for each key its id and its uses, as key_uses. A key may be on several
--   pages.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local fields, earliest, keys, recent = page[2], tonumber(ARGV[3]), {}, {}
for i = 1, #fields, 2 do
  local value = fields[i + 1]
  if #value < 3 or struct.unpack('>I3', value) >= earliest then
    keys[#keys + 1], recent[#recent + 1] = fields[i], value
  end
end
local past = #keys > 0 and redis.call('HMGET', KEYS[2], unpack(keys))
local reply = {page[1]}
for i, key in ipairs(keys) do
  reply[3 * i - 1], reply[3 * i], reply[3 * i + 1] = key, recent[i], past[i] or ''
end
return reply
