-- Reads records with their first use. ARGV: names.
-- Returns 'ok', then for each name its record or nil and its first use or nil.
local answer = {'ok'}
for at = 3, #ARGV do
  answer[#answer + 1] = redis.call('GET', record_key(ARGV[at]))
  answer[#answer + 1] = redis.call('GET', first_use_key(ARGV[at]))
end
return answer
