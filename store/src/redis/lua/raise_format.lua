-- Raises the store's format; does nothing if it is at least as late, or if the envelope is not the one that was read.
-- ARGV: the format, the envelope that was read, then fields of the meta hash and their values.
-- Returns 'ok' and 0 if the envelope is another one, else 1.
local format, read, fields = tonumber(next_argument()), next_argument(), {}
while argument_index < #ARGV do
  fields[#fields + 1] = next_argument()
end
if meta_number('format') >= format then
  return {'ok', 1}
end
local field = redis.call('HGET', META, 'sealed_envelope') and 'sealed_envelope' or 'envelope'
if redis.call('HGET', META, field) ~= read then
  return {'ok', 0}
end
if not has_invalidations() then
  -- The invalidation stream begins here. Readers switch to it when they have read the stream of changes through here.
  fields[#fields + 1], fields[#fields + 2] = 'invalidated', meta_position('last') .. ' '
end
redis.call('HSET', META, unpack(fields))
return {'ok', 1}
