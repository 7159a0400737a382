-- Creates the store unless there is one. It runs before a store id is known, so without common.lua.
-- KEYS[1] the meta hash. ARGV: the seven header fields, then fields and their values.
-- Returns the header fields as stored afterwards.
local HEADER_FIELDS = 7
if not redis.call('HGET', KEYS[1], 'id') then
  redis.call('HSET', KEYS[1], unpack(ARGV, HEADER_FIELDS + 1))
end
return redis.call('HMGET', KEYS[1], unpack(ARGV, 1, HEADER_FIELDS))
