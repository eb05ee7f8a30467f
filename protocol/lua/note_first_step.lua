-- ARGS: 1 time
if is_open(field('status')) then redis.call('HSETNX', RECORD, 'first_step_at', ARGS[1]) end
return 'noted'
