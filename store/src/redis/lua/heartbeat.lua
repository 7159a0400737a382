-- Registers a gateway or renews its lease. It is a write, so that it fails on a store that cannot write.
-- ARGV: gateway, cursor, event at the cursor or '', lease duration in ms, index of accounts, version, name.
-- Also records which format the gateway can read, and what people see of it.
-- Returns 'ok', then the results of check_cursor, number of accounts, loose checksum (0/1).
local gateway, cursor, event, lease_ms = next_argument(), next_argument(), next_argument(), next_argument()
local accounts, version, name = next_argument(), next_argument(), next_argument()
local now = now_ms()
redis.call('HSET', GATEWAYS, gateway, cursor .. ' ' .. format_integer(now + lease_ms))
redis.call('HSET', GATEWAY_FORMATS, gateway, MAX_FORMAT)
redis.call('HSET', GATEWAY_INFO, gateway, format_integer(now) .. ' ' .. version .. ' ' .. name)
local state, last, trimmed = check_cursor(cursor, event)
return {'ok', state, last, trimmed, redis.call('ZCARD', index_key(accounts)), meta_number('loose-checksum')}
