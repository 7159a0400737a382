-- Reads members of an index with their records.
-- ARGV: index, member after which to begin or '', limit, digits of a member before its record's name.
-- Returns 'ok', then member, record, first use or nil for each; members without a record are left out.
local index, after, limit, digits = argument(), argument(), argument(), tonumber(argument())
local from = after == '' and '-' or '(' .. after
local answer = {'ok'}
for _, member in ipairs(redis.call('ZRANGEBYLEX', index_key(index), from, '+', 'LIMIT', 0, limit)) do
  local name = string.sub(member, digits + 1)
  local record = redis.call('GET', record_key(name))
  if record then
    answer[#answer + 1] = member
    answer[#answer + 1] = record
    answer[#answer + 1] = redis.call('GET', first_use_key(name))
  end
end
return answer
