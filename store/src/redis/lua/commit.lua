-- Writes records, digests, indexes and the stream entry, or nothing.
-- ARGV: event, undelivered entries allowed ('' = no limit), format of the records ('' = any), loosens checksum (0/1),
--   sealed secret or '', action, scope, scope data, fence, head, image, account or '',
--   limits of the account or '' for: api-keys, projects, access-keys, bytes,
--   then lists, each preceded by its length: writes (name, expected version or '', new record without version or '',
--   index, member, -1, 0 or 1 to add to the count of its kind),
--   digests to set (digest, name), digests to drop, members to add (index, member), members to remove,
--   stored responses (name, retention in ms, sealed response).
-- Returns 'committed' or 'repeated' with the version, 'later-format' with that of the store, or 'stale',
--   'digest-taken', 'stream-full', 'over-bound' with the kind and the limit.
local REMOVED_RETENTION_MS = 600000
local event, max_undelivered, format = next_argument(), next_argument(), next_argument()
local loosens_checksum, secret = next_argument(), next_argument()
local payload = {
  action = next_argument(), scope = next_argument(), scope_data = next_argument(),
  fence = next_argument(), head = next_argument(), image = next_argument(),
}
local account, bounds = next_argument(), {}
for position, kind in ipairs({'api-keys', 'projects', 'access-keys', 'bytes'}) do
  bounds[position] = {kind, tonumber(next_argument())}
end
local function read_rows(width)
  local rows = {}
  for row = 1, tonumber(next_argument()) do
    rows[row] = {}
    for column = 1, width do
      rows[row][column] = next_argument()
    end
  end
  return rows
end
local writes, digests_set, digests_drop = read_rows(6), read_rows(2), read_rows(1)
local index_set, index_drop, responses = read_rows(2), read_rows(2), read_rows(3)

-- Change of the account's counts, by kind.
local count_delta = {bytes = 0}
local function add_counts(write, length_before)
  local kind = index_kind(write[4])
  if kind ~= 'accounts' and is_counted(write[4], write[5]) then
    count_delta[kind] = (count_delta[kind] or 0) + tonumber(write[6])
    count_delta.bytes = count_delta.bytes + #write[3] - length_before
  end
end

local is_stale = false
for position, write in ipairs(writes) do
  local stored = redis.call('GET', record_key(write[1]))
  local version, last_event = '', ''
  if stored then
    version, last_event = string.match(stored, '^([^\n]*)\n([^\n]*)\n')
  end
  local committed_version = last_event == event and version
  if not stored then
    local removal = redis.call('GET', removed_key(write[1]))
    committed_version = removal and string.match(removal, '^' .. event .. '\n(.*)$')
  end
  if position == 1 and committed_version then
    return {'repeated', committed_version}
  end
  is_stale = is_stale or version ~= write[2]
  add_counts(write, stored and #stored - #version - 1 or 0)
end
if format ~= '' and meta_number('format') > tonumber(format) then
  return {'later-format', meta_number('format')}
end
if is_stale then
  return {'stale'}
end
for _, set in ipairs(digests_set) do
  local holder = redis.call('GET', digest_key(set[1]))
  if holder and holder ~= set[2] then
    return {'digest-taken'}
  end
end
for _, bound in ipairs(bounds) do
  local kind, limit = bound[1], bound[2]
  if limit and (count_delta[kind] or 0) > 0 then
    if tonumber(redis.call('HGET', counts_key(account), kind) or 0) + count_delta[kind] > limit then
      return {'over-bound', kind, format_integer(limit)}
    end
  end
end
if max_undelivered ~= '' and meta_number('entries') - meta_number('fanned') >= tonumber(max_undelivered) then
  return {'stream-full'}
end

-- The record's third line is the time until which it is usable, see record_format.rs.
local usable_until_ms = string.match(writes[1][3], '^[^\n]*\n[^\n]*\n(%d+)\n')
payload.status = usable_until_ms and (usable_until_ms == '0' and '0' or '1') or ''
local now = now_ms()
local version = append(now, event, payload)
for _, write in ipairs(writes) do
  if write[3] == '' then
    redis.call('DEL', record_key(write[1]), first_use_key(write[1]))
    -- Only while a commit whose reply was lost may be retried.
    redis.call('SET', removed_key(write[1]), event .. '\n' .. version, 'PX', REMOVED_RETENTION_MS)
  else
    redis.call('SET', record_key(write[1]), version .. '\n' .. write[3])
  end
end
for kind, amount in pairs(count_delta) do
  if amount ~= 0 then
    redis.call('HINCRBY', counts_key(account), kind, amount)
  end
end
if counting_state == '0' then
  -- Everything in the indexes of a new record is created after it, and counted at once.
  local child_indexes = {accounts = {'projects', 'access-keys', 'webhooks'}, projects = {'api-keys'}}
  for _, write in ipairs(writes) do
    for _, kind in ipairs(write[2] == '' and child_indexes[index_kind(write[4])] or {}) do
      redis.call('HSET', COUNTING_PROGRESS, kind .. ':' .. write[1], AFTER_ALL_MEMBERS)
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
for _, response in ipairs(responses) do
  put_stored_response(response[1], response[2], response[3], now)
end
if loosens_checksum == '1' then
  redis.call('HSET', META, 'loose-checksum', 1)
end
return {'committed', version}
