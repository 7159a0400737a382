-- Replaces uses of keys of a group, unless uses were added since they were read.
-- KEYS[1], KEYS[2] the uses of the group, see key_uses. ARGV: for each key its id, the recent uses as read, the new ones,
--   and those that are rolled up; '' if there are none.
-- Returns nothing.
local keys, written, removed = {}, {{}, {}}, {{}, {}}
for i = 1, #ARGV, 4 do
  keys[#keys + 1] = ARGV[i]
end
for i, recent in ipairs(redis.call('HMGET', KEYS[1], unpack(keys))) do
  if (recent or '') == ARGV[4 * i - 2] then
    for part = 1, 2 do
      local value = ARGV[4 * i - 2 + part]
      local fields = value == '' and removed[part] or written[part]
      fields[#fields + 1] = keys[i]
      if value ~= '' then
        fields[#fields + 1] = value
      end
    end
  end
end
for part = 1, 2 do
  if #written[part] > 0 then
    redis.call('HSET', KEYS[part], unpack(written[part]))
  end
  if #removed[part] > 0 then
    redis.call('HDEL', KEYS[part], unpack(removed[part]))
  end
end
return false
