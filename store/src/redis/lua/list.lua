-- Reads members of an index with their records.
-- ARGV: index, 'oldest-first' or 'newest-first', member after which to start in that order or '', limit, digits of a
--   member before its record's name.
-- Returns 'ok', then member, record, first use or nil for each; members without a record are left out.
local index, order, after = next_argument(), next_argument(), next_argument()
local limit, digits = next_argument(), tonumber(next_argument())
local members
if order == 'newest-first' then
  local from = after == '' and '+' or '(' .. after
  members = redis.call('ZRANGE', index_key(index), from, '-', 'BYLEX', 'REV', 'LIMIT', 0, limit)
else
  local from = after == '' and '-' or '(' .. after
  members = redis.call('ZRANGEBYLEX', index_key(index), from, '+', 'LIMIT', 0, limit)
end
local reply = {'ok'}
for _, member in ipairs(members) do
  local name = string.sub(member, digits + 1)
  local record = redis.call('GET', record_key(name))
  if record then
    reply[#reply + 1] = member
    reply[#reply + 1] = record
    reply[#reply + 1] = redis.call('GET', first_use_key(name))
  end
end
return reply
