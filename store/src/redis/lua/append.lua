-- Appends an entry to the stream and returns its position. A full millisecond carries into the next.
local MAX_SEQUENCE = 1048575

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
  redis.call('HSET', META, 'last', version)
  redis.call('HINCRBY', META, 'entries', 1)
  return version
end
