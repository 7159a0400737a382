-- Creates a recovery unless another one of the webhook runs. ARGV: webhook, recovery, maximum per webhook, request.
-- Returns 'created' and the recovery, also if it was created before, or 'running' and the id of the other one.
local webhook, id, max, request = next_argument(), next_argument(), tonumber(next_argument()), next_argument()
local now, reply, ended = now_ms(), {'created'}, {}
local existing = read_recovery(webhook, id)
if existing then
  add_recovery(reply, id, existing)
  return reply
end
local stored = redis.call('HGETALL', recoveries_key(webhook))
for i = 1, #stored, 2 do
  local recovery = parse_recovery(stored[i + 1])
  if recovery.status == 'running' then
    return {'running', stored[i]}
  end
  ended[#ended + 1] = {id = stored[i], at = tonumber(recovery.finished)}
end
table.sort(ended, function(left, right) return left.at < right.at end)
for i = 1, #ended - max + 1 do
  redis.call('HDEL', recoveries_key(webhook), ended[i].id)
end
local created = format_integer(now)
local new = {
  status = 'running', created = created, finished = '0', cursor = '-', recovered = 0, skipped = 0, request = request,
}
write_recovery(webhook, id, new)
redis.call('ZADD', RECOVERING, 0, webhook .. ' ' .. id)
add_recovery(reply, id, new)
return reply
