-- Writes records, digests, indexes and the stream entry, or nothing.
-- ARGV: event, entries that may wait ('' = no bound), format of the records ('' = any), loosens checksum (0/1), sealed secret or '',
--   action, scope, scope data, fence, head, image, account or '',
--   how many it may have or '' of: api-keys, projects, access-keys, bytes,
--   then counted: writes (name, expected version or '', new record without version or '', index, member,
--   -1, 0 or 1 that are added to the number of its kind),
--   digests to set (digest, name), digests to drop, members to add (index, member), to remove,
--   receipts (name, ms for which it is kept, sealed answer).
-- Returns 'committed' or 'repeated' with the version, 'later-format' with that of the store, or 'stale',
--   'digest-taken', 'stream-full', 'over-bound' with the kind and the bound.
local REMOVED_KEPT_MS = 600000
local event, max_waiting, format, loosens, secret = argument(), argument(), argument(), argument(), argument()
local told = {
  action = argument(), scope = argument(), scope_data = argument(),
  fence = argument(), head = argument(), image = argument(),
}
local account, bounds = argument(), {}
for place, kind in ipairs({'api-keys', 'projects', 'access-keys', 'bytes'}) do
  bounds[place] = {kind, tonumber(argument())}
end
local function rows(width)
  local read = {}
  for row = 1, tonumber(argument()) do
    read[row] = {}
    for column = 1, width do
      read[row][column] = argument()
    end
  end
  return read
end
local writes, digests_set, digests_drop = rows(6), rows(2), rows(1)
local index_set, index_drop, receipts = rows(2), rows(2), rows(3)

-- By how much the counts of the account grow, by kind.
local added = {bytes = 0}
local function add(write, length_before)
  local kind = kind_of(write[4])
  if kind ~= 'accounts' and is_counted(write[4], write[5]) then
    added[kind] = (added[kind] or 0) + tonumber(write[6])
    added.bytes = added.bytes + #write[3] - length_before
  end
end

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
  add(write, stored and #stored - #version - 1 or 0)
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
for _, bound in ipairs(bounds) do
  local kind, most = bound[1], bound[2]
  if most and (added[kind] or 0) > 0 then
    if tonumber(redis.call('HGET', counts_key(account), kind) or 0) + added[kind] > most then
      return {'over-bound', kind, integer(most)}
    end
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
for kind, more in pairs(added) do
  if more ~= 0 then
    redis.call('HINCRBY', counts_key(account), kind, more)
  end
end
if counted == '0' then
  -- What is in the indexes of something new was made after it, and counts at once.
  local indexes_of = {accounts = {'projects', 'access-keys', 'webhooks'}, projects = {'api-keys'}}
  for _, write in ipairs(writes) do
    for _, kind in ipairs(write[2] == '' and indexes_of[kind_of(write[4])] or {}) do
      redis.call('HSET', COUNTING, kind .. ':' .. write[1], ALL)
    end
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
