-- What accounts have: hash `counts:account` with api-keys, projects, access-keys, bytes (of records without versions).
-- The meta field `counted` is absent in a store that does not count, 0 while what was there before is counted, 1 from
-- then on.
local COUNTING = PREFIX .. 'counting' -- hash: index -> the member through which it was counted, or ALL
local ALL = '~'                       -- comes after every member
local counted = redis.call('HGET', META, 'counted')

local function counts_key(account)
  return PREFIX .. 'counts:' .. account
end

local function kind_of(index)
  return string.match(index, '^[^:]*')
end

-- Byte by byte, as indexes are ordered; Lua's own order is that of a language.
local function follows(member, other)
  for at = 1, math.min(#member, #other) do
    local one, two = string.byte(member, at), string.byte(other, at)
    if one ~= two then
      return one > two
    end
  end
  return #member > #other
end

local function is_counted(index, member)
  return counted == '1'
    or (counted == '0' and not follows(member, redis.call('HGET', COUNTING, index) or ''))
end
