-- Reads the counts of an account's resources. ARGV: account, names of the resources.
-- Returns 'ok', 1 if all records are counted, else 0, and each count.
local account = next_argument()
local reply = {'ok', counting_state == '1' and 1 or 0}
local name = next_argument()
while name do
  reply[#reply + 1] = redis.call('HGET', counts_key(account), name) or '0'
  name = next_argument()
end
return reply
