-- Starts or ends the counting of existing records. ARGV: 'begin' or 'end'.
-- Returns 'ok', and 1 if records are left to count.
local action = next_argument()
if action == 'begin' and not counting_state then
  redis.call('HSET', META, 'counted', 0)
  counting_state = '0'
elseif action == 'end' and counting_state == '0' then
  redis.call('HSET', META, 'counted', 1)
  redis.call('DEL', COUNTING_PROGRESS)
end
return {'ok', counting_state == '0' and 1 or 0}
