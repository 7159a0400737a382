-- Before every script: the store's identity, its clock, and the names of all its keys.
-- KEYS[1] the meta hash, `{namespace}:meta`; all other keys share its hash tag and are named here.
-- ARGV[1] the store id; ARGV[2] milliseconds to add to the clock, 0 outside tests.
-- A script whose store is another one answers {'wrong-store'}, one whose store has a later format than this program
-- can read {'unreadable', format}; neither writes anything.
local READS = 2 -- the latest format that this program can read
local META = KEYS[1]
local PREFIX = string.sub(META, 1, -5)

-- meta hash: id, envelope (in the first format; later ones have store_id and sealed_envelope, and decoys in these),
--   format, min_reader, last, trimmed, fan-out, entries, fanned, deliveries, made, dead-dropped, loose-checksum, counted
local STREAM = PREFIX .. 'stream'             -- stream of changes, ids `ms-sequence`
local SEALED = PREFIX .. 'sealed'             -- hash: event -> sealed secret
local SEALED_AGES = PREFIX .. 'sealed-ages'   -- sorted set: event by ms
local GATEWAYS = PREFIX .. 'gateways'         -- hash: gateway -> 'cursor refuses_at_ms'
local GATEWAY_READS = PREFIX .. 'gateway-reads' -- hash: gateway -> latest format that it can read
local EVENTS = PREFIX .. 'events'             -- hash: event -> body
local EVENTS_LEFT = PREFIX .. 'events-left'   -- hash: event -> deliveries that have not ended
local READY = PREFIX .. 'ready'               -- sorted set: webhook by the ms from which it can be leased
local CAPPED = PREFIX .. 'capped'             -- hash: webhook -> ms until which it is at its cap
local LEASED = PREFIX .. 'leased'             -- sorted set: 'webhook event' by lease end in ms
local DEAD_AGES = PREFIX .. 'dead-ages'       -- sorted set: 'webhook event' by ms of death
local DEAD_SEALED_AGES = PREFIX .. 'dead-sealed-ages' -- sorted set: the same, of those with a secret
local QUARANTINE = PREFIX .. 'quarantine'     -- list: 'version\nreason\nbytes'
-- PREFIX .. 'confirm'                        -- string, empty: written before replicas are waited for (connection.rs)
local function record_key(name) return PREFIX .. 'record:' .. name end         -- string: packed record
local function first_use_key(name) return PREFIX .. 'first-use:' .. name end   -- string: ms
local function receipt_key(name) return PREFIX .. 'receipt:' .. name end       -- string: 'ms\nsealed answer'
local function removed_key(name) return PREFIX .. 'removed:' .. name end       -- string: 'event\nversion'
local function digest_key(digest) return PREFIX .. 'digest:' .. digest end     -- string: record name
local function index_key(name) return PREFIX .. 'index:' .. name end           -- sorted set: members by name
local function queue_key(webhook) return PREFIX .. 'queue:' .. webhook end     -- sorted set: event by ms
local function made_key(webhook) return PREFIX .. 'made:' .. webhook end       -- sorted set: event by number
local function delivery_key(webhook) return PREFIX .. 'delivery:' .. webhook end -- hash: event -> state
local function held_key(webhook) return PREFIX .. 'held:' .. webhook end       -- sorted set: event by lease end
local function attempts_key(webhook) return PREFIX .. 'attempts:' .. webhook end -- list, newest first
local function dead_key(webhook) return PREFIX .. 'dead:' .. webhook end       -- hash: event -> letter
local function dead_times_key(webhook) return PREFIX .. 'dead-times:' .. webhook end -- sorted set: event by ms
local function dead_sealed_key(webhook) return PREFIX .. 'dead-sealed:' .. webhook end -- hash: event -> secret

local head = redis.call('HMGET', META, 'store_id', 'id', 'min_reader')
if (head[1] or head[2]) ~= ARGV[1] then
  return {'wrong-store'}
end
if tonumber(head[3] or 1) > READS then
  return {'unreadable', head[3]}
end

-- While the store's slot moves to another server of a cluster, some of its keys are here and some there. Reading
-- a key that is not here fails then, also one that never was: so no script begins what it could not end.
redis.call('EXISTS', PREFIX .. 'never')

local argument_at = 2
local function argument()
  argument_at = argument_at + 1
  return ARGV[argument_at]
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2]
end

local function number(name)
  return tonumber(redis.call('HGET', META, name) or 0)
end

local function position(name)
  return redis.call('HGET', META, name) or '0-0'
end

-- A position as two numbers: as one it would not fit a Lua number.
local function parts(version)
  local ms, sequence = string.match(version, '^(%d+)-(%d+)$')
  return tonumber(ms), tonumber(sequence)
end

local function is_after(one, other)
  local one_ms, one_sequence = parts(one)
  local other_ms, other_sequence = parts(other)
  return one_ms > other_ms or (one_ms == other_ms and one_sequence > other_sequence)
end

local function integer(value)
  return string.format('%.0f', value)
end
