-- ARGS: 1 shard, 2 epoch ('' where no worker holds the shard any more), 3 error (JSON)
if ARGS[2] ~= '' and not holds(ARGS[1], ARGS[2]) then return 'fenced' end
redis.call('HDEL', LEASES, ARGS[1])
if is_open(field('status')) then
  finish('failed', ARGS[3])
else
  finish_if_canceled()
end
return 'left'
