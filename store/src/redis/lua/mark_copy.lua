-- Marks the copy of a store into this one as begun, or as written through a position. It runs before a store id is known,
-- so without common.lua.
-- KEYS[1] the meta hash. ARGV: the mark that is expected there, '' for an empty store, the new mark, then fields and their
--   values that keep processes from opening the store.
-- Returns 1, or 0 if another mark or a store is there.
local expected, mark = ARGV[1], ARGV[2]
local current = redis.call('HGET', KEYS[1], 'copy')
if (current or '') ~= expected or (not current and redis.call('EXISTS', KEYS[1]) == 1) then
  return 0
end
redis.call('HSET', KEYS[1], 'copy', mark, unpack(ARGV, 3))
return 1
