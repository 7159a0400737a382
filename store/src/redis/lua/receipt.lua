-- Reads an answer that was kept. ARGV: its name.
-- Returns 'ok' and the sealed answer, or 'ok' alone where there is none or its time has passed.
return {'ok', standing_receipt(argument(), now_ms())}
