-- Reads entries before a reader's cursor, newest first. ARGV: cursor, limit.
-- Returns 'ok', the results of check_cursor, then id and fields of each entry.
local cursor, limit = next_argument(), next_argument()
local state, last, trimmed = check_cursor(cursor, '')
local entries = {}
-- Redis refuses the range that ends before its smallest id.
if cursor ~= '0-0' then
  entries = redis.call('XREVRANGE', STREAM, '(' .. cursor, '-', 'COUNT', limit)
end
return {'ok', state, last, trimmed, entries}
