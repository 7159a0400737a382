-- Raises the format of the store; one that is as late is left alone.
-- ARGV: the format, then fields of the meta hash and their values. Returns 'ok'.
local format, fields = tonumber(argument()), {}
while argument_at < #ARGV do
  fields[#fields + 1] = argument()
end
if number('format') < format then
  redis.call('HSET', META, unpack(fields))
end
return {'ok'}
