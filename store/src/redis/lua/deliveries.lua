-- Lists deliveries of a webhook, newest first.
-- ARGV: webhook, limit, sequence before which the list begins or '', number of kinds, then the kinds.
-- Returns 'ok' and rows, see delivery_rows.lua.
local webhook, limit, before = next_argument(), tonumber(next_argument()), next_argument()
local newest, rows, reply = before == '' and '+inf' or '(' .. before, {}, {'ok'}
for _ = 1, tonumber(next_argument()) do
  local kind = next_argument()
  if kind == 'dead' then
    number_dead_letters(webhook)
  end
  local list = LISTS[kind](webhook)
  local found = redis.call('ZRANGE', list, newest, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, limit, 'WITHSCORES')
  for i = 1, #found, 2 do
    rows[#rows + 1] = {kind = kind, event = found[i], sequence = tonumber(found[i + 1])}
  end
end
table.sort(rows, function(left, right) return left.sequence > right.sequence end)
for i = 1, math.min(limit, #rows) do
  add_row(reply, rows[i].kind, webhook, rows[i].event, format_integer(rows[i].sequence))
end
return reply
