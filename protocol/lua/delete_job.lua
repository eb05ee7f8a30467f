-- All that is kept of a job goes, the memory that it was here too. What workers still have to say
-- of it finds neither job nor epoch, and is refused.
-- ARGS: 1 watched, 2 previews (keys)
-- Returns the status before, or false where there is no such job.
local status = field('status')
if not status then return false end
if is_open(status) or status == 'canceling' then finish('canceled') end
redis.call('ZREM', LIST_PREFIX .. field('tenant'), JOB)
redis.call('ZREM', EXPIRING, JOB .. ':' .. field('tenant'))
for bucket = 0, last_bucket() do
  redis.call('UNLINK', PNG_PREFIX .. bucket)
end
redis.call('UNLINK', IMAGES, EPOCHS, LEASES, IN_FLIGHT, TOMBSTONE, SOURCES, ARGS[1], ARGS[2])
redis.call('DEL', RECORD)
return status
