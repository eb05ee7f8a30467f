-- A delivery that no job has caused.
-- KEYS: 1 delivery, 2 deliveries due   ARGV: 1 id, 2 kept (s), then fields and values
redis.call('HSET', KEYS[1], unpack(ARGV, 3))
local at = due_in(KEYS[2], ARGV[1], 0)
redis.call('HSET', KEYS[1], 'occurred_at', at, 'next_at', at)
redis.call('EXPIRE', KEYS[1], ARGV[2])
