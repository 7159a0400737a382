-- Replaces packed uses of keys of a group, unless they have changed since they were read.
-- KEYS[1] the uses of the group, see add_usage. ARGV: for each key its id, the uses as read, and the new ones; these
--   are empty to remove them.
-- Returns nothing.
for i = 1, #ARGV, 3 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    if ARGV[i + 2] == '' then
      redis.call('HDEL', KEYS[1], ARGV[i])
    else
      redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 2])
    end
  end
end
return false
