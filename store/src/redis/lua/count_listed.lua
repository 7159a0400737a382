-- Counts the members of an index. ARGV: index.
-- Returns 'ok' and the number.
return {'ok', redis.call('ZCARD', index_key(next_argument()))}
