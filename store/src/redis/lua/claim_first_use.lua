-- Marks a key as used, once in its life, with the change that says so.
-- ARGV: key, digest that was presented, event, action, head.
-- Returns 'won' with the position, 'already' with the ms of the first use, or 'not-active'.
local key, digest, event, action, head = argument(), argument(), argument(), argument(), argument()
local now = now_ms()

local function usable(name)
  local record = redis.call('GET', record_key(name))
  if not record then
    return nil
  end
  local owner, until_ms, public = string.match(record, '^[^\n]*\n[^\n]*\n([^\n]*)\n(%d+)\n([^\n]*)\n')
  if now >= tonumber(until_ms) then
    return nil
  end
  return owner, public
end

if redis.call('GET', digest_key(digest)) ~= key then
  return {'not-active'}
end
local owner, image = usable(key)
if not owner or not usable(owner) then
  return {'not-active'}
end
local before = redis.call('GET', first_use_key(key))
if before then
  return {'already', before}
end
local told = {action = action, scope = 'none', scope_data = '', fence = '0', head = head, image = image}
local version = append(now, event, told)
redis.call('SET', first_use_key(key), (string.match(version, '^%d+')))
return {'won', version}
