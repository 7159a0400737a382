-- Puts, removes or claims a receipt.
-- ARGV: its name, what must stand there: 'any', 'nothing' or 'same', the bytes that must or '',
--   what shall: 'put' or 'remove', the sealed answer or '', ms for which it is kept.
-- Returns 'yes', or 'no' with what stands there, if anything does.
local name, expect, bytes = argument(), argument(), argument()
local what, sealed, kept_ms = argument(), argument(), argument()
local now = now_ms()
local standing = standing_receipt(name, now)
if (expect == 'nothing' and standing) or (expect == 'same' and standing ~= bytes) then
  return {'no', standing}
end
if what == 'put' then
  put_receipt(name, kept_ms, sealed, now)
else
  redis.call('DEL', receipt_key(name))
end
return {'yes'}
