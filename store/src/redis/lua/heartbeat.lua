-- Registers a gateway or prolongs it. A write, so that a store that cannot write cannot answer.
-- ARGV: gateway, cursor, event at the cursor or '', ms within which it refuses, index of accounts.
-- Also notes which format the gateway can read.
-- Returns 'ok', then as judge_cursor answers, number of accounts, loose checksum (0/1).
local gateway, cursor, event, refuses_within = argument(), argument(), argument(), argument()
local accounts = argument()
redis.call('HSET', GATEWAYS, gateway, cursor .. ' ' .. integer(now_ms() + refuses_within))
redis.call('HSET', GATEWAY_READS, gateway, READS)
local state, last, trimmed = judge_cursor(cursor, event)
return {'ok', state, last, trimmed, redis.call('ZCARD', index_key(accounts)), number('loose-checksum')}
