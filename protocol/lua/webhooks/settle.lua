-- What became of an attempt, from the one who holds the lease.
-- KEYS: 1 delivery, 2 deliveries due, 3 the tenant's that were given up, 4 counts
-- ARGV: 1 id, 2 lease token, 3 state, 4 tries, 5 attempts (JSON), 6 seconds until the next one,
--       '' for none, 7 how long those given up are kept (s), 8 field to count the attempt in
if redis.call('HGET', KEYS[1], 'lease') ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], 'lease')
redis.call('HINCRBY', KEYS[4], ARGV[8], 1)
local next_at = ''
if ARGV[6] ~= '' then
  next_at = due_in(KEYS[2], ARGV[1], ARGV[6])
else
  redis.call('ZREM', KEYS[2], ARGV[1])
end
redis.call('HSET', KEYS[1], 'state', ARGV[3], 'tries', ARGV[4], 'attempts', ARGV[5],
  'next_at', next_at)
if ARGV[3] == 'failed' or ARGV[3] == 'disabled' then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now() - ARGV[7])
  redis.call('ZADD', KEYS[3], now(), ARGV[1])
  redis.call('EXPIRE', KEYS[3], ARGV[7])
end
return 1
