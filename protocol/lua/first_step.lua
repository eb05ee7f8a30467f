-- ARGS: 1 shard, 2 epoch, 3 when
if holds(ARGS[1], ARGS[2]) then redis.call('HSETNX', RECORD, 'first_step_at', ARGS[3]) end
