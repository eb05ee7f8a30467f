-- ARGS: 1 shard, 2 this run of it (its worker, and a name of its own), 3 engine fingerprint,
--       4 engine key prefix, 5 model sha256, 6 whether it has its worker's engine to itself
-- Returns 'closed', 'elsewhere', 'suspect', or 'begun' with the epoch, the tenant, the request
-- and the id of the HTTP request that submitted it.
local shard, run, engine = ARGS[1], ARGS[2], ARGS[3]
if field('status') == 'running' then fail_if_overdue() end
local status = field('status')
if not status then return {'closed'} end
local lease = redis.call('HGET', LEASES, shard)
if lease == run then  -- the answer to the same question was lost on its way
  return {'begun', redis.call('HGET', EPOCHS, shard), field('tenant') or '', field('request'), field('request_id') or ''}
end
local pinned = field('engine')
if is_open(status) and pinned ~= '' and pinned ~= engine
    and redis.call('EXISTS', ARGS[4] .. pinned) == 1 then
  return {'elsewhere'}
end
if lease then  -- whoever had it has not let go of it: it died
  count_crash(shard, 0, LOST)
  status = field('status')
end
if not is_open(status) then
  finish_if_canceled()
  return {'closed'}
end
if crashes_of(shard) >= SUSPECT_AFTER and ARGS[6] == '0' then return {'suspect'} end
-- Also where the engine was pinned: the submission took the weights from what was published last.
redis.call('HSET', RECORD, 'engine', engine, 'model_sha256', ARGS[5])
local epoch = redis.call('HINCRBY', EPOCHS, shard, 1)
redis.call('HSET', LEASES, shard, run)
local attempt = epoch - (redis.call('HGET', EPOCHS, 'given-back:' .. shard) or 0)
if attempt > tonumber(field('attempts')) then
  redis.call('HSET', RECORD, 'attempts', attempt)
end
if status == 'queued' then
  redis.call('HSET', RECORD, 'status', 'running', 'started_at', now())
  leave_waiting_line()
  emit('running')
end
return {'begun', tostring(epoch), field('tenant') or '', field('request'), field('request_id') or ''}
