-- Account resource counts: hash `counts:account` with api-keys, projects, access-keys, bytes (of records without
-- versions). The meta field `counted` is absent in a store that does not count, 0 while existing records are being
-- counted, 1 from then on.
local COUNTING_PROGRESS = PREFIX .. 'counting' -- hash: index -> member through which it is counted
local AFTER_ALL_MEMBERS = '~'                    -- sorts after every member
local counting_state = redis.call('HGET', META, 'counted')

local function counts_key(account)
  return PREFIX .. 'counts:' .. account
end

local function index_kind(index)
  return string.match(index, '^[^:]*')
end

-- Compares bytes, as indexes are sorted; Lua's own comparison depends on the locale.
local function sorts_after(left, right)
  for i = 1, math.min(#left, #right) do
    local left_byte, right_byte = string.byte(left, i), string.byte(right, i)
    if left_byte ~= right_byte then
      return left_byte > right_byte
    end
  end
  return #left > #right
end

local function is_counted(index, member)
  return counting_state == '1'
    or (counting_state == '0' and not sorts_after(member, redis.call('HGET', COUNTING_PROGRESS, index) or ''))
end
