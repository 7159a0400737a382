-- Replaces uses of keys of a group, unless uses were added since they were read.
-- KEYS[1], KEYS[2] the uses of the group, see key_uses. ARGV: for each key its id, the recent uses as read, the new ones,
--   and those that are rolled up; '' if there are none.
-- Returns nothing.
local function put(hash, key, value)
  if value == '' then
    redis.call('HDEL', hash, key)
  else
    redis.call('HSET', hash, key, value)
  end
end
for i = 1, #ARGV, 4 do
  if (redis.call('HGET', KEYS[1], ARGV[i]) or '') == ARGV[i + 1] then
    put(KEYS[1], ARGV[i], ARGV[i + 2])
    put(KEYS[2], ARGV[i], ARGV[i + 3])
  end
end
return false
