-- Lists deliveries of a webhook in the order of their creation.
-- ARGV: webhook, limit, order (newest or oldest first), sequence after which the list begins or '', number of kinds, then
--   the kinds.
-- Returns 'ok' and rows, see delivery_rows.lua.
local webhook, limit, order, after = next_argument(), tonumber(next_argument()), next_argument(), next_argument()
local newest_first, rows, reply = order == 'newest', {}, {'ok'}

local function read_list(list)
  if newest_first then
    local start = after == '' and '+inf' or '(' .. after
    return redis.call('ZRANGE', list, start, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, limit, 'WITHSCORES')
  end
  local start = after == '' and '-inf' or '(' .. after
  return redis.call('ZRANGE', list, start, '+inf', 'BYSCORE', 'LIMIT', 0, limit, 'WITHSCORES')
end

for _ = 1, tonumber(next_argument()) do
  local kind = next_argument()
  if kind == 'dead' then
    number_dead_letters(webhook)
  end
  local found = read_list(LISTS[kind](webhook))
  for i = 1, #found, 2 do
    rows[#rows + 1] = {kind = kind, event = found[i], sequence = tonumber(found[i + 1])}
  end
end
table.sort(rows, function(left, right)
  if newest_first then
    return left.sequence > right.sequence
  end
  return left.sequence < right.sequence
end)
for i = 1, math.min(limit, #rows) do
  add_row(reply, rows[i].kind, webhook, rows[i].event, format_integer(rows[i].sequence))
end
return reply
