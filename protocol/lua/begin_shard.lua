-- ARGS: 1 shard, 2 worker, 3 engine fingerprint, 4 engine key prefix, 5 model sha256
-- Returns 'closed', 'elsewhere', or the epoch, the tenant and the request.
local shard, worker, engine = ARGS[1], ARGS[2], ARGS[3]
if field('status') == 'running' then fail_if_overdue() end
local status = field('status')
if not status then return {'closed'} end
if not is_open(status) then
  redis.call('HDEL', LEASES, shard)
  finish_if_canceled()
  return {'closed'}
end
local pinned = field('engine')
if pinned ~= '' and pinned ~= engine and redis.call('EXISTS', ARGS[4] .. pinned) == 1 then
  return {'elsewhere'}
end
if pinned ~= engine then
  redis.call('HSET', RECORD, 'engine', engine, 'model_sha256', ARGS[5])
end
local epoch = redis.call('HINCRBY', EPOCHS, shard, 1)
redis.call('HSET', LEASES, shard, worker)
local attempt = epoch - (redis.call('HGET', EPOCHS, 'given-back:' .. shard) or 0)
if attempt > tonumber(field('attempts')) then
  redis.call('HSET', RECORD, 'attempts', attempt)
end
if status == 'queued' then
  redis.call('HSET', RECORD, 'status', 'running', 'started_at', now())
  leave_waiting_line()
  emit('running')
end
return {'begun', tostring(epoch), field('tenant') or '', field('request')}
