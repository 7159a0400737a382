-- Removes last uses of a project in the first format, except those that have changed since they were read, and lets the
-- list of the project's hours expire, as the hours do: nothing is added to it after the format was raised.
-- KEYS[1] the hours of a project, see add_hourly_usage. ARGV: ms after which no hour of the list is read any more, then key
--   and last use in ms alternately.
-- Returns nothing.
local last_used = string.sub(KEYS[1], 1, -#'usage-hours' - 1) .. 'last-used'
for i = 2, #ARGV, 2 do
  if redis.call('HGET', last_used, ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', last_used, ARGV[i])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return false
