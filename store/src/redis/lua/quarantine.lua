-- Entries in quarantine. ARGV: limit. Returns 'ok' and a list of 'version\nreason\nbytes'.
local limit = tonumber(argument())
return {'ok', redis.call('LRANGE', QUARANTINE, 0, limit - 1)}
