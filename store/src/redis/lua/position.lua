-- A position of the meta hash. ARGV: its field. Returns 'ok' and the position.
return {'ok', position(argument())}
