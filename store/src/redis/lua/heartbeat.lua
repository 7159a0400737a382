-- Registers a gateway or renews its lease. It is a write, so that it fails on a store that cannot write.
-- ARGV: gateway, stream that it reads ('changes' or 'invalidations'), cursor, event at the cursor or '', lease duration in
--   ms, index of accounts, version, name.
-- Also records which format the gateway can read, and what people see of it.
-- Returns 'ok', state of the cursor, trimmed position, then the results of invalidations_end, number of accounts, loose
--   checksum (0/1), number of gateways.
local gateway, stream, cursor, event = next_argument(), next_argument(), next_argument(), next_argument()
local lease_ms, accounts, version, name = next_argument(), next_argument(), next_argument(), next_argument()
local now = now_ms()
local end_stream, end_version, end_event = invalidations_end()
local state, trimmed = nil, '0-0'
local applied = cursor
if stream == 'changes' then
  local check = {check_cursor(cursor, event)}
  state, trimmed = check[1], check[3]
else
  state = check_invalidations(cursor .. ' ' .. event)
  -- Changes after the last entry invalidate nothing, so they are applied too.
  applied = cursor == end_version and state == 'present' and meta_position('last') or cursor
end
if state == 'foreign' then
  -- Some of what it has applied was lost, and a later change may have that position now.
  applied = '0-0'
end
redis.call('HSET', GATEWAYS, gateway, applied .. ' ' .. format_integer(now + lease_ms))
redis.call('HSET', GATEWAY_FORMATS, gateway, MAX_FORMAT)
redis.call('HSET', GATEWAY_INFO, gateway, format_integer(now) .. ' ' .. version .. ' ' .. name)
return {'ok', state, trimmed, end_stream, end_version, end_event, redis.call('ZCARD', index_key(accounts)),
  meta_number('loose-checksum'), redis.call('HLEN', GATEWAYS)}
