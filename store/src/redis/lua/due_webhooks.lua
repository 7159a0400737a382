-- Which queues have something due. ARGV: how many to skip, limit.
-- Returns 'ok', ms until the next one that is not due or nil, then webhooks, longest due first.
local skip, limit, now = argument(), argument(), now_ms()
local next_one = redis.call('ZRANGEBYSCORE', READY, '(' .. integer(now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local answer = {'ok', next_one[2] and tonumber(next_one[2]) - now or false}
for _, webhook in ipairs(redis.call('ZRANGEBYSCORE', READY, '-inf', integer(now), 'LIMIT', skip, limit)) do
  answer[#answer + 1] = webhook
end
return answer
