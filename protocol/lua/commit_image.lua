-- The only writer of progress, and of success.
-- ARGS: 1 shard, 2 epoch, 3 index, 4 manifest, 5 steps of the shard's rows still in flight
-- Closed comes first: a deleted job has no epochs, which does not mean that another run has its shards.
if not is_open(field('status')) then return 'closed' end
if not holds(ARGS[1], ARGS[2]) then return 'fenced' end
redis.call('HSET', IN_FLIGHT, ARGS[1], ARGS[5])
if redis.call('HSETNX', IMAGES, ARGS[3], ARGS[4]) == 0 then return 'duplicate' end
local done = redis.call('HINCRBY', RECORD, 'images_done', 1)
if field('counted') then release(1) end
redis.call('HDEL', EPOCHS, 'crashes:' .. ARGS[1])
emit('image', ARGS[3])
if done == tonumber(field('n')) then finish('succeeded') end
return 'committed'
