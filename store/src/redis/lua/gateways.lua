-- Lists the gateways that may still serve from their caches, and removes the others.
-- Returns 'ok', then gateway, cursor, lease expiry in ms, latest format that it can read, and 'last_heartbeat_ms version
-- name', which is '' for gateways of earlier releases.
local reply = {'ok'}
remove_ended_gateways(now_ms())
local stored = redis.call('HGETALL', GATEWAYS)
for i = 1, #stored, 2 do
  local gateway = stored[i]
  local cursor, lease_expires_ms = string.match(stored[i + 1], '^(%S+) (%d+)$')
  reply[#reply + 1], reply[#reply + 2], reply[#reply + 3] = gateway, cursor, lease_expires_ms
  reply[#reply + 1] = redis.call('HGET', GATEWAY_FORMATS, gateway) or '1'
  reply[#reply + 1] = redis.call('HGET', GATEWAY_INFO, gateway) or ''
end
return reply
