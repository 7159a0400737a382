-- The invalidation stream: each entry says what one change invalidates in the caches of gateways, and which entry came
-- before it, so that a reader knows without a script whether it has missed one. Changes that invalidate nothing have no
-- entry. It exists from format 2 on; positions are those of the stream of changes.
local INVALIDATIONS_FORMAT = 2
-- The field `p` of an entry: 'previous_version previous_event event fence status scope', a line feed, the scope's data.
-- The status is 1 or 0 if the changed record is usable or not, '' if it was removed.
local HEAD_PATTERN = '^(%S+) (%S*) (%S+) '

local function has_invalidations()
  return tonumber(header[6] or 1) >= INVALIDATIONS_FORMAT
end

-- Returns 'version event' of the last entry. The event is '' where the stream begins.
local function last_invalidation()
  return redis.call('HGET', META, 'invalidated') or '0-0 '
end

-- Returns 'present' if nothing is missing between a reader's cursor and the next entry or the end, else 'foreign'.
local function check_invalidations(cursor)
  if cursor == last_invalidation() then
    return 'present'
  end
  local next_entry = redis.call('XRANGE', INVALIDATIONS, '(' .. string.match(cursor, '^%S+'), '+', 'COUNT', 1)[1]
  local version, event = string.match(next_entry and next_entry[2][2] or '', HEAD_PATTERN)
  return version and version .. ' ' .. event == cursor and 'present' or 'foreign'
end

-- Returns the stream from which gateways read invalidations, and the version and event of its last entry.
local function invalidations_end()
  if not has_invalidations() then
    return 'changes', meta_position('last'), ''
  end
  return 'invalidations', string.match(last_invalidation(), '^(%S+) (%S*)$')
end
