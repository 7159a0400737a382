-- Reads the uses of one key by the hour.
-- KEYS[1] the hours of a project, see add_hourly_usage. ARGV: first hour, hour to stop before, key.
-- Returns hour and count for each hour with a use, oldest first.
local prefix = string.sub(KEYS[1], 1, -#'usage-hours' - 1)
local reply = {}
for _, hour in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '(' .. ARGV[2])) do
  local count = redis.call('HGET', prefix .. 'usage:' .. hour, ARGV[3])
  if count then
    reply[#reply + 1], reply[#reply + 2] = hour, count
  end
end
return reply
