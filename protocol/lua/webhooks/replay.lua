-- From the start of the schedule again, at once, unless an attempt is under way.
-- KEYS: 1 delivery, 2 deliveries due, 3 the tenant's that were given up   ARGV: 1 id
-- Returns 0 where it has changed nothing.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local due_at = redis.call('ZSCORE', KEYS[2], ARGV[1])
if redis.call('HEXISTS', KEYS[1], 'lease') == 1 and due_at and tonumber(due_at) > tonumber(now())
then return 0 end
redis.call('HDEL', KEYS[1], 'lease')
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], 'state', 'pending', 'tries', 0,
  'next_at', due_in(KEYS[2], ARGV[1], 0))
return 1
