-- Dead letters of a webhook, oldest first. ARGV: webhook, limit.
-- Returns 'ok', then event, letter, sealed secret or nil.
local webhook, limit, answer = argument(), tonumber(argument()), {'ok'}
for _, event in ipairs(redis.call('ZRANGE', dead_times_key(webhook), 0, limit - 1)) do
  answer[#answer + 1] = event
  answer[#answer + 1] = redis.call('HGET', dead_key(webhook), event)
  answer[#answer + 1] = redis.call('HGET', dead_sealed_key(webhook), event)
end
return answer
