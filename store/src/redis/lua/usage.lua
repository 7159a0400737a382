-- Reads uses of a project by the hour.
-- KEYS[1] the hours of a project, see add_usage. ARGV: first hour, hour to stop before, 'project' or 'keys'.
-- Returns hour, key ('' for all together) and count for each, oldest hour first.
local prefix = string.sub(KEYS[1], 1, -#'usage-hours' - 1)
local answer = {}
local function add(hour, key, count)
  answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = hour, key, count
end
for _, hour in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], '(' .. ARGV[2])) do
  local bucket = prefix .. 'usage:' .. hour
  if ARGV[3] == 'project' then
    add(hour, '', redis.call('HGET', bucket, '') or '0')
  else
    local fields = redis.call('HGETALL', bucket)
    for at = 1, #fields, 2 do
      if fields[at] ~= '' then
        add(hour, fields[at], fields[at + 1])
      end
    end
  end
end
return answer
