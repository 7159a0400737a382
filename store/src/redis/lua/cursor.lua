-- Checks the entry at a reader's cursor.
-- Returns 'present', 'trimmed' or 'foreign', the last position, the trimmed position.
local function check_cursor(cursor, event)
  local last, trimmed = meta_position('last'), meta_position('trimmed')
  local state = 'foreign'
  if cursor == '0-0' then
    state = 'present'
  elseif is_after(cursor, last) then
    state = 'foreign'
  elseif not is_after(cursor, trimmed) then
    state = 'trimmed'
  else
    local entry = redis.call('XRANGE', STREAM, cursor, cursor)[1]
    -- A reader that could not decode the entry's event id compares the position alone.
    if entry and event == '' then
      state = 'present'
    end
    for i = 1, entry and #entry[2] or 0, 2 do
      if entry[2][i] == 'e' and entry[2][i + 1] == event then
        state = 'present'
      end
    end
  end
  return state, last, trimmed
end
