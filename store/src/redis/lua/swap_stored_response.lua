-- Stores, removes or claims a response.
-- ARGV: its name, condition: 'any', 'nothing' or 'same', the bytes of the latter or '',
--   action: 'put' or 'remove', the sealed response or '', retention in ms.
-- Returns 'yes', or 'no' with the current response, if there is one.
local name, expect, bytes = next_argument(), next_argument(), next_argument()
local action, sealed, retention_ms = next_argument(), next_argument(), next_argument()
local now = now_ms()
local current = read_stored_response(name, now)
if (expect == 'nothing' and current) or (expect == 'same' and current ~= bytes) then
  return {'no', current}
end
if action == 'put' then
  put_stored_response(name, retention_ms, sealed, now)
else
  redis.call('DEL', stored_response_key(name))
end
return {'yes'}
