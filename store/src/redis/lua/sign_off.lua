-- Removes a gateway. ARGV: gateway. Returns 'ok'.
local gateway = next_argument()
redis.call('HDEL', GATEWAYS, gateway)
redis.call('HDEL', GATEWAY_FORMATS, gateway)
redis.call('HDEL', GATEWAY_INFO, gateway)
return {'ok'}
