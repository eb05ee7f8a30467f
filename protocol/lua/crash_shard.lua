-- A step with rows of this shard raised. It was not alone unless it was under suspicion already.
-- ARGS: 1 shard, 2 epoch, 3 error (JSON)
if not holds(ARGS[1], ARGS[2]) or redis.call('HEXISTS', LEASES, ARGS[1]) == 0 then return 'fenced' end
count_crash(ARGS[1], SUSPECT_AFTER, ARGS[3])
finish_if_canceled()
return 'left'
