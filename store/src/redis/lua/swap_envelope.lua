-- Replaces the envelope, if it is still the one that was read. ARGV: the envelope that was read, the new one.
-- Returns 'ok' and 1 if it was replaced, else 0.
local read, new = next_argument(), next_argument()
local field = redis.call('HGET', META, 'sealed_envelope') and 'sealed_envelope' or 'envelope'
if redis.call('HGET', META, field) ~= read then
  return {'ok', 0}
end
redis.call('HSET', META, field, new)
return {'ok', 1}
