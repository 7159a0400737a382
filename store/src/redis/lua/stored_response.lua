-- Reads a stored response. ARGV: its name.
-- Returns 'ok' and the sealed response, or 'ok' alone if there is none or it has expired.
return {'ok', read_stored_response(next_argument(), now_ms())}
