-- A worker lets go of a shard: done, given back, or canceled.
-- ARGS: 1 shard, 2 epoch
if not holds(ARGS[1], ARGS[2]) then return 'fenced' end
redis.call('HDEL', LEASES, ARGS[1])
redis.call('HDEL', IN_FLIGHT, ARGS[1])
finish_if_canceled()
return 'left'
