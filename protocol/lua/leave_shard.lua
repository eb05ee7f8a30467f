-- A worker lets go of a shard: done, given back, or canceled. Once, however often it says so.
-- ARGS: 1 shard, 2 epoch, 3 whether it was given back unfinished: that counts as no attempt
if not holds(ARGS[1], ARGS[2]) then return 'fenced' end
if ARGS[3] == '1' and redis.call('HEXISTS', LEASES, ARGS[1]) == 1 then
  need_no_room()
  redis.call('HINCRBY', EPOCHS, 'given-back:' .. ARGS[1], 1)
end
redis.call('HDEL', LEASES, ARGS[1])
redis.call('HDEL', IN_FLIGHT, ARGS[1])
finish_if_canceled()
return 'left'
