-- Raises the store's format; does nothing if it is at least as late.
-- ARGV: the format, then fields of the meta hash and their values. Returns 'ok'.
local format, fields = tonumber(next_argument()), {}
while argument_index < #ARGV do
  fields[#fields + 1] = next_argument()
end
if meta_number('format') < format then
  redis.call('HSET', META, unpack(fields))
end
return {'ok'}
