-- Lists entries in quarantine before a position, newest first. ARGV: position, limit.
-- Returns 'ok' and a list of 'version\nreason\nbytes'.
local CHUNK = 100
local before, limit = next_argument(), tonumber(next_argument())
local found, last = {}, redis.call('LLEN', QUARANTINE) - 1
while last >= 0 and #found < limit do
  local entries = redis.call('LRANGE', QUARANTINE, math.max(last - CHUNK + 1, 0), last)
  for i = #entries, 1, -1 do
    if #found < limit and is_after(before, string.match(entries[i], '^[^\n]+')) then
      found[#found + 1] = entries[i]
    end
  end
  last = last - CHUNK
end
return {'ok', found}
