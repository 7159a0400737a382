-- Reads one delivery. ARGV: webhook, event. Returns 'ok' and its row, see delivery_rows.lua, or nothing.
local webhook, event, reply = next_argument(), next_argument(), {'ok'}
number_dead_letters(webhook)
for _, kind in ipairs({'waiting', 'dead', 'delivered', 'dropped'}) do
  local sequence = redis.call('ZSCORE', LISTS[kind](webhook), event)
  if sequence then
    add_row(reply, kind, webhook, event, format_integer(tonumber(sequence)))
    break
  end
end
return reply
