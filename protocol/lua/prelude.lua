-- Shared by all job scripts, which run as: this text, then their own.
--
-- KEYS: 1 record, 2 images, 3 epochs, 4 leases, 5 in-flight, 6 events, 7 tombstone,
--       8 sources, 9 expiring, 10 delivery of its webhook, 11 deliveries due,
--       12 what is queued
-- ARGV: 1 job id, 2 record kept (s), 3 tombstone kept (s), 4 png key prefix, 5 images per bucket,
--       6 waiting line key prefix, 7 job list key prefix, 8 unended jobs' key prefix,
--       then the script's own, which it finds as ARGS[1] ...
local RECORD, IMAGES, EPOCHS, LEASES, IN_FLIGHT = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local EVENTS, TOMBSTONE, SOURCES, EXPIRING = KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local DELIVERY, DELIVERIES_DUE, QUEUED = KEYS[10], KEYS[11], KEYS[12]
local JOB, RECORD_KEPT_S, TOMBSTONE_KEPT_S = ARGV[1], ARGV[2], ARGV[3]
local PNG_PREFIX, IMAGES_PER_BUCKET, WAITING_PREFIX = ARGV[4], ARGV[5], ARGV[6]
local LIST_PREFIX, UNENDED_PREFIX = ARGV[7], ARGV[8]
local ARGS = {unpack(ARGV, 9)}

local function field(name)
  return redis.call('HGET', RECORD, name)
end

-- One clock for everybody: the server's. Seconds with six decimals.
local function now()
  local t = redis.call('TIME')
  return string.format('%d.%06d', t[1], t[2])
end

-- Returns the entry's id. `index` is of the image that it tells of, if it does.
local function emit(event, index)
  return redis.call('XADD', EVENTS, 'MAXLEN', '~', 100000, '*', 'job', JOB, 'event', event,
    'index', index or '')
end

local function is_open(status)
  return status == 'queued' or status == 'running'
end

-- Redis looks for room at a script's first write, and at no other: one that takes none lets the rest
-- through. For what ends a job or lets go of it: that frees memory, if not at once, and must not have to
-- wait for some. What takes on more does without, and is refused.
local function need_no_room()
  redis.call('HDEL', RECORD, 'no such field')
end

local function holds(shard, epoch)
  return redis.call('HGET', EPOCHS, shard) == epoch
end

local function leave_waiting_line()
  redis.call('ZREM', WAITING_PREFIX .. field('model'), JOB)
end

-- Images that are made, or never will be, are no longer queued. The counterpart of what
-- admission/submit.lua counts, in the scripts that make it so: nothing can come between.
local function release(images)
  local queue = 'queue:' .. field('model') .. '.' .. field('priority')
  local less = {images = images, bytes = images * field('image_bytes')}
  less['tenant:' .. field('tenant')], less[queue] = images, images
  for name, amount in pairs(less) do
    -- Not -amount: of 0 that is -0 in Lua, which servers before 7.2 take for no integer.
    if redis.call('HINCRBY', QUEUED, name, 0 - amount) <= 0 then
      redis.call('HDEL', QUEUED, name)
    end
  end
end

-- All that is left of it, once: a job is `counted` until then.
local function release_rest()
  if redis.call('HDEL', RECORD, 'counted') == 1 then
    release(field('n') - field('images_done'))
  end
end

-- The webhook of this end, for a sender to take: due at once, kept as long as the record.
local function tell_webhook(status, error, at, kept_s)
  local wanted = field('webhook_events')
  if not wanted or not string.find(wanted, 'job.' .. status, 1, true) then return end
  redis.call('HSET', DELIVERY, 'tenant', field('tenant'), 'job', JOB, 'type', 'job.' .. status,
    'url', field('webhook_url'), 'about', field('webhook_about'), 'occurred_at', at,
    'images_done', field('images_done'), 'n', field('n'), 'error', error,
    'state', 'pending', 'tries', 0, 'next_at', at, 'attempts', '[]')
  redis.call('EXPIRE', DELIVERY, kept_s)
  redis.call('ZADD', DELIVERIES_DUE, at, string.match(DELIVERY, '[^:]+$'))
end

local function last_bucket()
  return math.floor((field('n') - 1) / IMAGES_PER_BUCKET)
end

-- A record goes by itself, its line in its tenant's list with the end of some later job. Each end
-- adds one and takes away a few, so what is left over never grows.
local function forget_expired()
  local due = redis.call('ZRANGEBYSCORE', EXPIRING, '-inf', now(), 'LIMIT', 0, 16)
  for _, member in ipairs(due) do
    local job, tenant = string.match(member, '^([^:]+):(.*)$')
    redis.call('ZREM', LIST_PREFIX .. tenant, job)
    redis.call('ZREM', EXPIRING, member)
  end
end

-- The only place where a job ends: once, with its keys' days counted from here.
local function finish(status, error)
  need_no_room()
  local ttl = tonumber(field('ttl_s'))
  local at = now()
  redis.call('HSET', RECORD, 'status', status, 'finished_at', at,
    'expires_at', string.format('%.6f', at + ttl), 'error', error or '')
  leave_waiting_line()
  release_rest()
  redis.call('ZREM', UNENDED_PREFIX .. field('model'), JOB)
  redis.call('DEL', LEASES, IN_FLIGHT)
  redis.call('EXPIRE', RECORD, ttl + RECORD_KEPT_S)
  redis.call('SET', TOMBSTONE, field('tenant'), 'EX', ttl + RECORD_KEPT_S + TOMBSTONE_KEPT_S)
  redis.call('EXPIRE', IMAGES, ttl)
  redis.call('EXPIRE', SOURCES, ttl)
  redis.call('EXPIRE', EPOCHS, ttl)
  for bucket = 0, last_bucket() do
    redis.call('EXPIRE', PNG_PREFIX .. bucket, ttl)
  end
  redis.call('ZADD', EXPIRING, at + ttl + RECORD_KEPT_S, JOB .. ':' .. field('tenant'))
  forget_expired()
  tell_webhook(status, error or '', at, ttl + RECORD_KEPT_S)
  redis.call('HSET', RECORD, 'done_event', emit('done'))
end

-- Crashes since the shard's last image. Once there are SUSPECT_AFTER, it runs with its worker's engine
-- to itself, so every further one is its own; after ALONE_ALLOWED of those its job fails. The first
-- are anybody's: a machine that loses power says nothing about what it was at.
local SUSPECT_AFTER, ALONE_ALLOWED = 2, 3
local LOST = '{"code":"worker_lost","title":"Worker lost","detail":' ..
  '"Workers died while they ran this job and nothing else, as often as is allowed; ' ..
  'finished images stay."}'

local function crashes_of(shard)
  return tonumber(redis.call('HGET', EPOCHS, 'crashes:' .. shard) or 0)
end

local function count_crash(shard, at_least, error)
  local crashes = math.max(crashes_of(shard) + 1, at_least)
  redis.call('HSET', EPOCHS, 'crashes:' .. shard, crashes)
  redis.call('HDEL', LEASES, shard)
  redis.call('HDEL', IN_FLIGHT, shard)
  if is_open(field('status')) and crashes >= SUSPECT_AFTER + ALONE_ALLOWED then
    finish('failed', error)
  end
end

-- A job may run for timeout_s at most, by the server's clock.
local OVERDUE = '{"code":"deadline_exceeded","title":"Deadline exceeded",' ..
  '"detail":"The job ran longer than its timeout_s; finished images stay."}'

local function fail_if_overdue()
  local timeout, started = field('timeout_s'), field('started_at')
  if timeout ~= '' and started and now() - started > tonumber(timeout) then
    finish('failed', OVERDUE)
  end
end

local function finish_if_canceled()
  if field('status') == 'canceling' and redis.call('HLEN', LEASES) == 0 then
    finish('canceled')
  end
end
