-- Reads entries after a reader's cursor. ARGV: cursor, event at the cursor or '', limit.
-- Returns 'ok', the results of check_cursor, then id and fields of each entry.
local cursor, event, limit = next_argument(), next_argument(), next_argument()
local state, last, trimmed = check_cursor(cursor, event)
return {'ok', state, last, trimmed, redis.call('XRANGE', STREAM, '(' .. cursor, '+', 'COUNT', limit)}
