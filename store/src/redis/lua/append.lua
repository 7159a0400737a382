-- Appends an entry to the stream and answers its position. A full millisecond carries into the next.
local MAX_SEQUENCE = 1048575

local function append(now, event, told)
  local ms, sequence = parts(position('last'))
  if now > ms then
    ms, sequence = now, 0
  elseif sequence < MAX_SEQUENCE then
    sequence = sequence + 1
  else
    ms, sequence = ms + 1, 0
  end
  local version = integer(ms) .. '-' .. integer(sequence)
  redis.call('XADD', STREAM, version, 'v', '1', 'e', event, 'a', told.action, 's', told.scope,
    'd', told.scope_data, 'f', told.fence, 'h', told.head, 'i', told.image)
  redis.call('HSET', META, 'last', version)
  redis.call('HINCRBY', META, 'entries', 1)
  return version
end
