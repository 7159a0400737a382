-- Registers a gateway or prolongs it. A write, so that a store that cannot write cannot answer.
-- ARGV: gateway, cursor, event at the cursor or '', ms within which it refuses, index of accounts.
-- Returns 'ok', last position, trimmed position, number of accounts, loose checksum (0/1),
--   and what became of the cursor's entry: present, trimmed or foreign.
local gateway, cursor, event, refuses_within = argument(), argument(), argument(), argument()
local accounts = argument()
local last, trimmed = position('last'), position('trimmed')

local function judge()
  if cursor == '0-0' then
    return 'present'
  elseif is_after(cursor, last) then
    return 'foreign'
  elseif not is_after(cursor, trimmed) then
    return 'trimmed'
  end
  local entry = redis.call('XRANGE', STREAM, cursor, cursor)[1]
  if not entry then
    return 'foreign'
  end
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'e' and (event == '' or entry[2][at + 1] == event) then
      return 'present'
    end
  end
  return 'foreign'
end

redis.call('HSET', GATEWAYS, gateway, cursor .. ' ' .. integer(now_ms() + refuses_within))
return {'ok', last, trimmed, redis.call('ZCARD', index_key(accounts)), number('loose-checksum'), judge()}
