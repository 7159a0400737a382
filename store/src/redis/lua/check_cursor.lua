-- Checks whether the entry at a cursor is still present. ARGV: cursor, event at the cursor or ''.
-- Returns 'ok', then the results of check_cursor.
local cursor, event = next_argument(), next_argument()
return {'ok', check_cursor(cursor, event)}
