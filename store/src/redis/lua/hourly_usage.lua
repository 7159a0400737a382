-- Reads a project's uses by the hour.
-- KEYS[1] the hours of a project, see add_hourly_usage. ARGV: first hour, hour to stop before, 'project' or 'keys'.
-- Returns hour, key ('' for all together) and count for each row, oldest hour first.
local prefix = string.sub(KEYS[1], 1, -#'usage-hours' - 1)
local reply = {}
local function append_row(hour, key, count)
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = hour, key, count
end
for _, hour in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '(' .. ARGV[2])) do
  local bucket = prefix .. 'usage:' .. hour
  if ARGV[3] == 'project' then
    append_row(hour, '', redis.call('HGET', bucket, '') or '0')
  else
    local fields = redis.call('HGETALL', bucket)
    for i = 1, #fields, 2 do
      if fields[i] ~= '' then
        append_row(hour, fields[i], fields[i + 1])
      end
    end
  end
end
return reply
