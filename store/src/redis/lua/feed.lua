-- Entries after a position. ARGV: position, limit. Returns 'ok', then id and fields of each.
local after, limit = argument(), argument()
return {'ok', redis.call('XRANGE', STREAM, '(' .. after, '+', 'COUNT', limit)}
