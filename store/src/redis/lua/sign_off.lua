-- Forgets a gateway. ARGV: gateway. Returns 'ok'.
redis.call('HDEL', GATEWAYS, argument())
return {'ok'}
