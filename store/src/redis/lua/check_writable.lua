-- Checks whether the store can write: Redis refuses this script when it would refuse a write. It writes nothing.
-- Returns 'ok'.
return {'ok'}
