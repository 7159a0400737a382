-- Entries after a reader's cursor. ARGV: cursor, event at the cursor or '', limit.
-- Returns 'ok', as judge_cursor answers, then id and fields of each entry.
local cursor, event, limit = argument(), argument(), argument()
local state, last, trimmed = judge_cursor(cursor, event)
return {'ok', state, last, trimmed, redis.call('XRANGE', STREAM, '(' .. cursor, '+', 'COUNT', limit)}
