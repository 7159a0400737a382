-- Lists entries in quarantine. ARGV: limit. Returns 'ok' and a list of 'version\nreason\nbytes'.
local limit = tonumber(next_argument())
return {'ok', redis.call('LRANGE', QUARANTINE, 0, limit - 1)}
