-- Gateways that may still answer from their caches; the others are forgotten.
-- Returns 'ok', then gateway, cursor, ms at which it refuses.
local now, answer = now_ms(), {'ok'}
local known = redis.call('HGETALL', GATEWAYS)
for at = 1, #known, 2 do
  local cursor, refuses_at = string.match(known[at + 1], '^(%S+) (%d+)$')
  if tonumber(refuses_at) <= now then
    redis.call('HDEL', GATEWAYS, known[at])
  else
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = known[at], cursor, refuses_at
  end
end
return answer
