-- Steps of rows in flight, as of now, for a job that is still in time; refused once the shard is another worker's.
-- ARGS: 1 shard, 2 epoch, 3 steps
if not field('status') then return 'gone' end
if not holds(ARGS[1], ARGS[2]) then return 'fenced' end
if field('status') == 'running' then fail_if_overdue() end
if is_open(field('status')) and redis.call('HEXISTS', LEASES, ARGS[1]) == 1 then
  need_no_room()  -- who is refused would not learn of the job's end
  redis.call('HSET', IN_FLIGHT, ARGS[1], ARGS[3])
end
return field('status')
