-- Appends an entry to the stream of changes, and one to the invalidation stream if the change invalidates anything.
-- Returns the position. A full millisecond carries into the next.
local MAX_SEQUENCE = 1048575
-- A gateway that falls further behind starts over, with nothing in its cache.
local MAX_INVALIDATIONS = 100000

local function append_invalidation(version, event, payload)
  local head = {last_invalidation(), event, payload.fence, payload.status, payload.scope}
  redis.call('XADD', INVALIDATIONS, 'MAXLEN', '~', MAX_INVALIDATIONS, version,
    'p', table.concat(head, ' ') .. '\n' .. payload.scope_data)
  redis.call('HSET', META, 'invalidated', version .. ' ' .. event)
end

local function append(now, event, payload)
  local ms, sequence = split_version(meta_position('last'))
  if now > ms then
    ms, sequence = now, 0
  elseif sequence < MAX_SEQUENCE then
    sequence = sequence + 1
  else
    ms, sequence = ms + 1, 0
  end
  local version = format_integer(ms) .. '-' .. format_integer(sequence)
  redis.call('XADD', STREAM, version, 'v', '1', 'e', event, 'a', payload.action, 's', payload.scope,
    'd', payload.scope_data, 'f', payload.fence, 'h', payload.head, 'i', payload.image)
  if payload.scope ~= 'none' and has_invalidations() then
    append_invalidation(version, event, payload)
  end
  redis.call('HSET', META, 'last', version)
  redis.call('HINCRBY', META, 'entries', 1)
  return version
end
