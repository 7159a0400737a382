-- Reads entries after a reader's cursor. ARGV: cursor, event at the cursor or '', limit.
-- Returns 'ok', the results of check_cursor, id and fields of each entry, then the results of invalidations_end.
local cursor, event, limit = next_argument(), next_argument(), next_argument()
local state, last, trimmed = check_cursor(cursor, event)
local entries = redis.call('XRANGE', STREAM, '(' .. cursor, '+', 'COUNT', limit)
return {'ok', state, last, trimmed, entries, invalidations_end()}
