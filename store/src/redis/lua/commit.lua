-- Writes records, digests, indexes and the stream entry, or nothing.
-- ARGV: event, entries that may wait ('' = no bound), format of the records ('' = any), loosens checksum (0/1), sealed secret or '',
--   action, scope, scope data, fence, head, image,
--   then counted: writes (name, expected version or '', new record without version or ''),
--   digests to set (digest, name), digests to drop, members to add (index, member), to remove,
--   receipts (name, ms for which it is kept, sealed answer).
-- Returns 'committed' or 'repeated' with the version, 'later-format' with that of the store, or 'stale',
--   'digest-taken', 'stream-full'.
local REMOVED_KEPT_MS = 600000
local event, max_waiting, format, loosens, secret = argument(), argument(), argument(), argument(), argument()
local told = {
  action = argument(), scope = argument(), scope_data = argument(),
  fence = argument(), head = argument(), image = argument(),
}
local function counted(width)
  local rows = {}
  for row = 1, tonumber(argument()) do
    rows[row] = {}
    for column = 1, width do
      rows[row][column] = argument()
    end
  end
  return rows
end
local writes, digests_set, digests_drop = counted(3), counted(2), counted(1)
local index_set, index_drop, receipts = counted(2), counted(2), counted(3)

local is_stale = false
for place, write in ipairs(writes) do
  local stored = redis.call('GET', record_key(write[1]))
  local version, last_event = '', ''
  if stored then
    version, last_event = string.match(stored, '^([^\n]*)\n([^\n]*)\n')
  end
  local repeated = last_event == event and version
  if not stored then
    local gone = redis.call('GET', removed_key(write[1]))
    repeated = gone and string.match(gone, '^' .. event .. '\n(.*)$')
  end
  if place == 1 and repeated then
    return {'repeated', repeated}
  end
  is_stale = is_stale or version ~= write[2]
end
if format ~= '' and number('format') > tonumber(format) then
  return {'later-format', number('format')}
end
if is_stale then
  return {'stale'}
end
for _, set in ipairs(digests_set) do
  local owner = redis.call('GET', digest_key(set[1]))
  if owner and owner ~= set[2] then
    return {'digest-taken'}
  end
end
if max_waiting ~= '' and number('entries') - number('fanned') >= tonumber(max_waiting) then
  return {'stream-full'}
end

local now = now_ms()
local version = append(now, event, told)
for _, write in ipairs(writes) do
  if write[3] == '' then
    redis.call('DEL', record_key(write[1]), first_use_key(write[1]))
    -- Only so long as a commit may be repeated whose answer was lost.
    redis.call('SET', removed_key(write[1]), event .. '\n' .. version, 'PX', REMOVED_KEPT_MS)
  else
    redis.call('SET', record_key(write[1]), version .. '\n' .. write[3])
  end
end
for _, drop in ipairs(digests_drop) do
  redis.call('DEL', digest_key(drop[1]))
end
for _, set in ipairs(digests_set) do
  redis.call('SET', digest_key(set[1]), set[2])
end
for _, drop in ipairs(index_drop) do
  redis.call('ZREM', index_key(drop[1]), drop[2])
end
for _, set in ipairs(index_set) do
  redis.call('ZADD', index_key(set[1]), 0, set[2])
end
if secret ~= '' then
  redis.call('HSET', SEALED, event, secret)
  redis.call('ZADD', SEALED_AGES, now, event)
end
for _, receipt in ipairs(receipts) do
  put_receipt(receipt[1], receipt[2], receipt[3], now)
end
if loosens == '1' then
  redis.call('HSET', META, 'loose-checksum', 1)
end
return {'committed', version}
