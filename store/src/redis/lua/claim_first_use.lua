-- Records a key's first use, once in its life, with a stream entry.
-- ARGV: key, presented digest, event, action, head.
-- Returns 'won' with the position, 'already' with the ms of the first use, or 'not-active'.
local key, digest, event = next_argument(), next_argument(), next_argument()
local action, head = next_argument(), next_argument()
local now = now_ms()

local function read_usable(name)
  local record = redis.call('GET', record_key(name))
  if not record then
    return nil
  end
  local parent, expires_ms, public = string.match(record, '^[^\n]*\n[^\n]*\n([^\n]*)\n(%d+)\n([^\n]*)\n')
  if now >= tonumber(expires_ms) then
    return nil
  end
  return parent, public
end

if redis.call('GET', digest_key(digest)) ~= key then
  return {'not-active'}
end
local parent, image = read_usable(key)
if not parent or not read_usable(parent) then
  return {'not-active'}
end
local first_used_ms = redis.call('GET', first_use_key(key))
if first_used_ms then
  return {'already', first_used_ms}
end
local payload = {action = action, scope = 'none', scope_data = '', fence = '0', head = head, image = image}
local version = append(now, event, payload)
redis.call('SET', first_use_key(key), (string.match(version, '^%d+')))
return {'won', version}
