-- Gateways that may still answer from their caches; the others are forgotten.
-- Returns 'ok', then gateway, cursor, ms at which it refuses, latest format that it can read.
local now, answer = now_ms(), {'ok'}
local known = redis.call('HGETALL', GATEWAYS)
for at = 1, #known, 2 do
  local gateway = known[at]
  local cursor, refuses_at = string.match(known[at + 1], '^(%S+) (%d+)$')
  if tonumber(refuses_at) <= now then
    redis.call('HDEL', GATEWAYS, gateway)
  else
    answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = gateway, cursor, refuses_at
    answer[#answer + 1] = redis.call('HGET', GATEWAY_READS, gateway) or '1'
  end
end
local reads = redis.call('HGETALL', GATEWAY_READS)
for at = 1, #reads, 2 do
  if not redis.call('HGET', GATEWAYS, reads[at]) then
    redis.call('HDEL', GATEWAY_READS, reads[at])
  end
end
return answer
