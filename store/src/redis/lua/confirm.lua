-- Makes the key that a confirming connection writes before it waits for replicas (connection.rs).
-- KEYS[1] the key of confirmations, `{namespace}:confirm`. It is made also when memory is full.
-- Returns 'ok'.
redis.call('SET', KEYS[1], '')
return {'ok'}
