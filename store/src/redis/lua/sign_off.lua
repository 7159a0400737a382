-- Forgets a gateway. ARGV: gateway. Returns 'ok'.
local gateway = argument()
redis.call('HDEL', GATEWAYS, gateway)
redis.call('HDEL', GATEWAY_READS, gateway)
return {'ok'}
