-- Whether the entry at a cursor is still there. ARGV: cursor, event at the cursor or ''.
-- Returns 'ok', then as judge_cursor answers.
local cursor, event = argument(), argument()
return {'ok', judge_cursor(cursor, event)}
