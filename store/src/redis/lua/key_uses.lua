-- Reads the uses of keys of a group.
-- KEYS[1] the recent uses of the group, see add_usage. KEYS[2] those that were rolled up, `…past-usage`: hash, key -> uses
--   (see usage/past.rs). ARGV: keys.
-- Returns for each key the recent uses and those that were rolled up, each '' if there are none.
local recent, past = redis.call('HMGET', KEYS[1], unpack(ARGV)), redis.call('HMGET', KEYS[2], unpack(ARGV))
local reply = {}
for i = 1, #ARGV do
  reply[2 * i - 1], reply[2 * i] = recent[i] or '', past[i] or ''
end
return reply
