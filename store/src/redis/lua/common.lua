-- Prelude of every store script: checks the store's identity, and defines its clock and the names of all its keys.
-- KEYS[1] the meta hash, `{namespace}:meta`; all other keys share its hash tag and are named here.
-- ARGV[1] the store id; ARGV[2] milliseconds to add to the clock, 0 outside tests.
-- If the id differs, the script returns {'wrong-store'}; if the store has a later format than this program can read,
-- {'unreadable', format}. In both cases nothing is written.
local MAX_FORMAT = 2 -- the latest format that this program can read
local META = KEYS[1]
local PREFIX = string.sub(META, 1, -5)

-- meta hash: id, envelope (in the first format; later formats use store_id and sealed_envelope, and have decoys in
--   these), format, min_reader, last, invalidated, trimmed, fan-out, entries, fanned, deliveries, made, dead-dropped,
--   loose-checksum, counted, queue-clock, queue-clock-ahead
local STREAM = PREFIX .. 'stream'             -- stream of changes, ids `ms-sequence`
local INVALIDATIONS = PREFIX .. 'invalidations' -- stream of what they invalidate, same ids; from format 2 on
local SEALED = PREFIX .. 'sealed'             -- hash: event -> sealed secret
local SEALED_AGES = PREFIX .. 'sealed-ages'   -- sorted set: event by ms
local GATEWAYS = PREFIX .. 'gateways'         -- hash: gateway -> 'cursor lease_expires_ms'
local GATEWAY_FORMATS = PREFIX .. 'gateway-reads' -- hash: gateway -> latest format that it can read
local GATEWAY_INFO = PREFIX .. 'gateway-info' -- hash: gateway -> 'last_heartbeat_ms version name'
local EVENTS = PREFIX .. 'events'             -- hash: event -> body
local DELIVERIES_LEFT = PREFIX .. 'events-left' -- hash: event -> unfinished deliveries
local READY = PREFIX .. 'ready'               -- sorted set: webhook by the ms from which it has deliveries to lease
local CAPPED_UNTIL = PREFIX .. 'capped'       -- hash: webhook -> ms until which it is at its in-flight cap, and
                                              --   'webhook hold' -> ms until which nothing is sent to it
local LEASING = PREFIX .. 'leasing'           -- sorted set: webhook by the latest end of its leases in ms
local EARLY_LEASED = PREFIX .. 'leased'       -- sorted set: 'webhook event' by lease end, written by early versions
local DEAD_AGES = PREFIX .. 'dead-ages'       -- sorted set: 'webhook event' by ms of death
local DEAD_SEALED_AGES = PREFIX .. 'dead-sealed-ages' -- sorted set: the same, of those that still have their secret
local RECOVERING = PREFIX .. 'recovering'     -- sorted set, all scores 0: 'webhook recovery' of those that run
local LOG_CHECKS = PREFIX .. 'log-checks'     -- sorted set: webhook by ms from which its log may have expired parts
local QUARANTINE = PREFIX .. 'quarantine'     -- list: 'version\nreason\nbytes'
-- PREFIX .. 'confirm'                        -- string, empty: written before waiting for replicas (connection.rs)
local function record_key(name) return PREFIX .. 'record:' .. name end         -- string: record
local function first_use_key(name) return PREFIX .. 'first-use:' .. name end   -- string: ms
local function stored_response_key(name) return PREFIX .. 'receipt:' .. name end -- string: 'expires_ms\nresponse'
local function removed_key(name) return PREFIX .. 'removed:' .. name end       -- string: 'event\nversion'
local function digest_key(digest) return PREFIX .. 'digest:' .. digest end     -- string: record name
local function index_key(name) return PREFIX .. 'index:' .. name end           -- sorted set: members by name
local function queue_key(webhook) return PREFIX .. 'queue:' .. webhook end     -- sorted set: event by due ms
local function sequence_key(webhook) return PREFIX .. 'made:' .. webhook end   -- sorted set: event by sequence
local function delivery_key(webhook) return PREFIX .. 'delivery:' .. webhook end -- hash: event -> state
local function leases_key(webhook) return PREFIX .. 'held:' .. webhook end     -- sorted set: event by lease end
local function attempts_key(webhook) return PREFIX .. 'attempts:' .. webhook end -- list, newest first
local function dead_key(webhook) return PREFIX .. 'dead:' .. webhook end       -- hash: event -> dead letter
local function dead_times_key(webhook) return PREFIX .. 'dead-times:' .. webhook end -- sorted set: event by ms
local function dead_sequence_key(webhook) return PREFIX .. 'dead-made:' .. webhook end -- sorted set: event by sequence
local function dead_sealed_key(webhook) return PREFIX .. 'dead-sealed:' .. webhook end -- hash: event -> secret
local function delivered_key(webhook) return PREFIX .. 'delivered:' .. webhook end -- sorted set: event by sequence
local function dropped_key(webhook) return PREFIX .. 'dropped:' .. webhook end -- sorted set: event by sequence
local function log_key(webhook) return PREFIX .. 'log:' .. webhook end         -- hash: event -> 'ms of the end\nsummary'
local function last_attempts_key(webhook) return PREFIX .. 'last-attempts:' .. webhook end -- hash: event -> attempt
local function recoveries_key(webhook) return PREFIX .. 'recoveries:' .. webhook end -- hash: recovery -> state
local function hours_key(webhook) return PREFIX .. 'hours:' .. webhook end     -- hash: 'hour delivered|failed' -> count
local function failures_key(webhook) return PREFIX .. 'failures:' .. webhook end -- hash: failures in a row since the last
                                              --   2xx, ms of the first, of the refusal last counted, of the first hold
local function hold_field(webhook) return webhook .. ' hold' end

local header = redis.call('HMGET', META, 'store_id', 'id', 'min_reader', 'queue-clock', 'queue-clock-ahead', 'format')
if (header[1] or header[2]) ~= ARGV[1] then
  return {'wrong-store'}
end
if tonumber(header[3] or 1) > MAX_FORMAT then
  return {'unreadable', header[3]}
end

-- While the store's slot moves to another server of a cluster, its keys are split between both. Then an access to a key
-- that is not here fails, even if it never existed: so no script starts that could not finish.
redis.call('EXISTS', PREFIX .. 'never')

local argument_index = 2
local function next_argument()
  argument_index = argument_index + 1
  return ARGV[argument_index]
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
end

-- Reads the clock of the queues, on which deliveries are due, and leases, caps and holds end. It advances with the clock
-- of the store but does not go back with it: what was due in a moment would wait for as long as that clock was set back.
-- Returns its time, the ms by which it is ahead of the clock of the store, and the time that was recorded last.
local function read_queue_clock()
  local now, recorded, ahead = now_ms(), tonumber(header[4] or 0), tonumber(header[5] or 0)
  ahead = math.max(ahead, recorded - now)
  return now + ahead, ahead, recorded
end

local function meta_number(name)
  return tonumber(redis.call('HGET', META, name) or 0)
end

local function meta_position(name)
  return redis.call('HGET', META, name) or '0-0'
end

-- A position as two numbers: as a single one it would exceed the precision of a Lua number.
local function split_version(version)
  local ms, sequence = string.match(version, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function is_after(left, right)
  local left_ms, left_sequence = split_version(left)
  local right_ms, right_sequence = split_version(right)
  return left_ms > right_ms or (left_ms == right_ms and left_sequence > right_sequence)
end

local function format_integer(value)
  return string.format('%.0f', value)
end
