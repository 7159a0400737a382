-- Ends the copy of a store into this one: from now on processes can open it. It runs before a store id is known, so
-- without common.lua.
-- KEYS[1] the meta hash. ARGV: the mark that is expected there, then fields and their values.
-- Returns 1, or 0 if another mark is there.
if redis.call('HGET', KEYS[1], 'copy') ~= ARGV[1] then
  return 0
end
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
-- The invalidation stream begins at the end of the copied stream of changes.
redis.call('HSET', KEYS[1], 'invalidated', (redis.call('HGET', KEYS[1], 'last') or '0-0') .. ' ')
redis.call('HDEL', KEYS[1], 'copy')
return 1
