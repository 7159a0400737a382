-- Checks whether a reader of the invalidation stream has missed an entry. ARGV: cursor, event at the cursor or ''.
-- Returns 'ok', the result of check_invalidations, then the results of invalidations_end.
local cursor, event = next_argument(), next_argument()
return {'ok', check_invalidations(cursor .. ' ' .. event), invalidations_end()}
