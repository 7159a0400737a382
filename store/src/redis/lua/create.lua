-- Creates the store unless there is one. It runs before a store id is known, so without common.lua.
-- KEYS[1] the meta hash. ARGV: store id, envelope.
-- Returns id, envelope, loose checksum as they then stand.
if redis.call('HSETNX', KEYS[1], 'id', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'envelope', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'id', 'envelope', 'loose-checksum')
