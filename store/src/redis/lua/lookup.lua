-- What a key value leads to, with its owner.
-- ARGV: digest, name of the index of accounts.
-- Returns 'ok', last position, number of accounts, then name, record, first use or nil, owner or nil.
local digest, accounts = argument(), argument()
local answer = {'ok', position('last'), redis.call('ZCARD', index_key(accounts))}
local name = redis.call('GET', digest_key(digest))
local record = name and redis.call('GET', record_key(name))
if record then
  local owner = string.match(record, '^[^\n]*\n[^\n]*\n([^\n]*)\n')
  answer[4], answer[5] = name, record
  answer[6], answer[7] = redis.call('GET', first_use_key(name)), redis.call('GET', record_key(owner))
end
return answer
