-- Returns the status before, or false where there is no such job.
local status = field('status')
if is_open(status) then
  if redis.call('HLEN', LEASES) == 0 then
    finish('canceled')
  else
    need_no_room()
    redis.call('HSET', RECORD, 'status', 'canceling')
    emit('canceling')
  end
end
return status
