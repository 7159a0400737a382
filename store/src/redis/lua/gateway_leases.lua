-- Removes the gateways whose lease has ended: they serve nothing from their caches any more.
local function remove_ended_gateways(now)
  local stored = redis.call('HGETALL', GATEWAYS)
  for i = 1, #stored, 2 do
    if tonumber(string.match(stored[i + 1], ' (%d+)$')) <= now then
      redis.call('HDEL', GATEWAYS, stored[i])
    end
  end
  for _, hash in ipairs({GATEWAY_FORMATS, GATEWAY_INFO}) do
    local fields = redis.call('HGETALL', hash)
    for i = 1, #fields, 2 do
      if not redis.call('HGET', GATEWAYS, fields[i]) then
        redis.call('HDEL', hash, fields[i])
      end
    end
  end
end
