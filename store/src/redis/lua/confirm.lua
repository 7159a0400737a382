-- Creates the key that a connection writes before it waits for replicas (connection.rs).
-- KEYS[1] the confirm key, `{namespace}:confirm`. It is created even when memory is full.
-- Returns 'ok'.
redis.call('SET', KEYS[1], '')
return {'ok'}
