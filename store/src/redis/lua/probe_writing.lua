-- Whether the store can write now: Redis refuses it where it would refuse a write. It writes nothing.
-- Returns 'ok'.
return {'ok'}
