-- Reads a position of the meta hash. ARGV: its field. Returns 'ok' and the position.
return {'ok', meta_position(next_argument())}
