-- Cancels a recovery unless it has ended. ARGV: webhook, recovery.
-- Returns 'ok' and the recovery, or 'no' if there is none.
local webhook, id, reply = next_argument(), next_argument(), {'ok'}
local recovery = read_recovery(webhook, id)
if not recovery then
  return {'no'}
end
if recovery.status == 'running' then
  end_recovery(webhook, id, recovery, 'cancelled', now_ms())
  write_recovery(webhook, id, recovery)
end
add_recovery(reply, id, recovery)
return reply
