-- Reads an answer that was kept. ARGV: its name.
-- Returns 'ok' and the sealed answer, or 'ok' alone where there is none or its time has passed.
local stored = redis.call('GET', receipt_key(argument()))
local until_ms, sealed
if stored then
  local line = string.find(stored, '\n', 1, true)
  until_ms, sealed = string.sub(stored, 1, line - 1), string.sub(stored, line + 1)
end
if stored and now_ms() < tonumber(until_ms) then
  return {'ok', sealed}
end
return {'ok'}
