-- Looks up the record of a key digest, and its parent.
-- ARGV: digest, name of the index of accounts.
-- Returns 'ok', last position, number of accounts, then name, record, first use or nil, parent or nil.
local digest, accounts = next_argument(), next_argument()
local reply = {'ok', meta_position('last'), redis.call('ZCARD', index_key(accounts))}
local name = redis.call('GET', digest_key(digest))
local record = name and redis.call('GET', record_key(name))
if record then
  local parent = string.match(record, '^[^\n]*\n[^\n]*\n([^\n]*)\n')
  reply[4], reply[5] = name, record
  reply[6], reply[7] = redis.call('GET', first_use_key(name)), redis.call('GET', record_key(parent))
end
return reply
