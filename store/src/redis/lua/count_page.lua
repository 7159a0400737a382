-- Counts the next members of an index. ARGV: account, index, limit, digits of a member before its record's name.
-- Returns 'ok' and how many members it has looked at, 0 at the end.
local account, index, limit, digits = argument(), argument(), tonumber(argument()), tonumber(argument())
local kind, through = kind_of(index), redis.call('HGET', COUNTING, index) or ''
if counted ~= '0' or through == ALL then
  return {'ok', 0}
end
local from = through == '' and '-' or '(' .. through
local members = redis.call('ZRANGEBYLEX', index_key(index), from, '+', 'LIMIT', 0, limit)
local found, bytes = 0, 0
for _, member in ipairs(members) do
  local record = redis.call('GET', record_key(string.sub(member, digits + 1)))
  if record then
    local version_end, _, usable_until = string.find(record, '\n[^\n]*\n[^\n]*\n(%d+)\n')
    bytes = bytes + #record - version_end
    if kind == 'api-keys' or (kind ~= 'webhooks' and usable_until ~= '0') then
      found = found + 1
    end
  end
end
if found > 0 then
  redis.call('HINCRBY', counts_key(account), kind, found)
end
redis.call('HINCRBY', counts_key(account), 'bytes', bytes)
redis.call('HSET', COUNTING, index, #members < limit and ALL or members[#members])
return {'ok', #members}
