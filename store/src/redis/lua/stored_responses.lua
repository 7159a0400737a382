-- Writes and reads stored responses. The key outlives the response by a minute: what counts is the expiry time in
-- front of the response, on the store's clock.
local function put_stored_response(name, retention_ms, sealed, now)
  local stored = format_integer(now + retention_ms) .. '\n' .. sealed
  redis.call('SET', stored_response_key(name), stored, 'PX', format_integer(retention_ms + 60000))
end

local function read_stored_response(name, now)
  local stored = redis.call('GET', stored_response_key(name))
  if stored then
    local separator = string.find(stored, '\n', 1, true)
    if now < tonumber(string.sub(stored, 1, separator - 1)) then
      return string.sub(stored, separator + 1)
    end
  end
end
