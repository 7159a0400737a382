-- Reads the packed uses of some keys of a group.
-- KEYS[1] the uses of the group, see add_usage. ARGV: cursor, number of keys, ms of the earliest last use.
-- Returns the next cursor, '0' at the end, then key and uses alternately. A key may be on several pages.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local reply, fields, earliest = {page[1]}, page[2], tonumber(ARGV[3])
for i = 1, #fields, 2 do
  local value = fields[i + 1]
  if #value < 11 or struct.unpack('>I6', value) >= earliest then
    reply[#reply + 1], reply[#reply + 2] = fields[i], value
  end
end
return reply
