-- How receipts are put and read. A receipt goes by itself, later than it counts: what counts is the moment that
-- stands before the answer.
local function put_receipt(name, kept_ms, sealed, now)
  redis.call('SET', receipt_key(name), integer(now + kept_ms) .. '\n' .. sealed, 'PX', integer(kept_ms + 60000))
end

local function standing_receipt(name, now)
  local stored = redis.call('GET', receipt_key(name))
  if stored then
    local line = string.find(stored, '\n', 1, true)
    if now < tonumber(string.sub(stored, 1, line - 1)) then
      return string.sub(stored, line + 1)
    end
  end
end
