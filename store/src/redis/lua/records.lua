-- Reads records with their first use. ARGV: names.
-- Returns 'ok', then for each name its record or nil and its first use or nil.
local reply = {'ok'}
for i = 3, #ARGV do
  reply[#reply + 1] = redis.call('GET', record_key(ARGV[i]))
  reply[#reply + 1] = redis.call('GET', first_use_key(ARGV[i]))
end
return reply
