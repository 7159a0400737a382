-- Counts the next members of an index. ARGV: account, index, limit, digits of a member before its record's name.
-- Returns 'ok' and how many members it has processed, 0 at the end.
local account, index = next_argument(), next_argument()
local limit, digits = tonumber(next_argument()), tonumber(next_argument())
local kind, counted_through = index_kind(index), redis.call('HGET', COUNTING_PROGRESS, index) or ''
if counting_state ~= '0' or counted_through == AFTER_ALL_MEMBERS then
  return {'ok', 0}
end
local start = counted_through == '' and '-' or '(' .. counted_through
local members = redis.call('ZRANGEBYLEX', index_key(index), start, '+', 'LIMIT', 0, limit)
local active, bytes = 0, 0
for _, member in ipairs(members) do
  local record = redis.call('GET', record_key(string.sub(member, digits + 1)))
  if record then
    local version_end, _, usable_until = string.find(record, '\n[^\n]*\n[^\n]*\n(%d+)\n')
    bytes = bytes + #record - version_end
    if kind == 'api-keys' or (kind ~= 'webhooks' and usable_until ~= '0') then
      active = active + 1
    end
  end
end
if active > 0 then
  redis.call('HINCRBY', counts_key(account), kind, active)
end
redis.call('HINCRBY', counts_key(account), 'bytes', bytes)
redis.call('HSET', COUNTING_PROGRESS, index, #members < limit and AFTER_ALL_MEMBERS or members[#members])
return {'ok', #members}
