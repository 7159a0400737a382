-- What became of the entry at a reader's cursor.
-- Answers present, trimmed or foreign, the last position, the trimmed position.
local function judge_cursor(cursor, event)
  local last, trimmed = position('last'), position('trimmed')
  local state = 'foreign'
  if cursor == '0-0' then
    state = 'present'
  elseif is_after(cursor, last) then
    state = 'foreign'
  elseif not is_after(cursor, trimmed) then
    state = 'trimmed'
  else
    local entry = redis.call('XRANGE', STREAM, cursor, cursor)[1]
    -- Who could not read the event id of an entry judges by its position alone.
    if entry and event == '' then
      state = 'present'
    end
    for at = 1, entry and #entry[2] or 0, 2 do
      if entry[2][at] == 'e' and entry[2][at + 1] == event then
        state = 'present'
      end
    end
  end
  return state, last, trimmed
end
