-- Take deliveries that are due. Their time moves to the end of the lease: who dies with them in
-- hand has put them back already.
-- KEYS: 1 deliveries due
-- ARGV: 1 delivery key prefix, 2 how many at most, 3 lease (s), 4 lease token
local claimed = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now(), 'LIMIT', 0, ARGV[2])) do
  local delivery = ARGV[1] .. id
  if redis.call('TYPE', delivery).ok ~= 'hash' then
    redis.call('ZREM', KEYS[1], id) -- it has expired
  else
    due_in(KEYS[1], id, ARGV[3])
    redis.call('HSET', delivery, 'lease', ARGV[4])
    claimed[#claimed + 1] = {id, redis.call('HGETALL', delivery)}
  end
end
return claimed
