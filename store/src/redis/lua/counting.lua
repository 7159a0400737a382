-- Begins or ends the counting of what was there before. ARGV: 'begin' or 'end'.
-- Returns 'ok', and 1 if there is something to count.
local what = argument()
if what == 'begin' and not counted then
  redis.call('HSET', META, 'counted', 0)
  counted = '0'
elseif what == 'end' and counted == '0' then
  redis.call('HSET', META, 'counted', 1)
  redis.call('DEL', COUNTING)
end
return {'ok', counted == '0' and 1 or 0}
