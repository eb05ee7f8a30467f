-- All commands of a submission, or none: what a client may have is known only while nobody else
-- submits. What was begun by an image or a job's end is undone by `release` (../prelude.lua).
--
-- KEYS: 1 what is queued, 2 key prefix of the tenant's days, 3 a name to be used once, if any
-- ARGV: 1 tenant, 2 model, 3 priority, 4 images, 5 bytes an image will take,
--       6 bytes the job takes at once,
--       then what may not be passed ('' for no bound): 7 images queued of the tenant,
--       8 its images of a day, 9 images queued of everybody, 10 bytes of room in Redis;
--       then the commands, each as its number of words and the words.
-- Returns {verdict, what there was of it before, seconds until midnight UTC}.
local QUEUED = KEYS[1]
local images, image_bytes, job_bytes = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local seconds = tonumber(redis.call('TIME')[1])
local today = KEYS[2] .. math.floor(seconds / 86400)
local midnight_s = 86400 - seconds % 86400

if KEYS[3] and redis.call('EXISTS', KEYS[3]) == 1 then return {'taken', 0, midnight_s} end

local function queued(name)
  return tonumber(redis.call('HGET', QUEUED, name) or 0)
end

local asked = {
  {'tenant_queue', queued('tenant:' .. ARGV[1]), images, tonumber(ARGV[7])},
  {'tenant_day', tonumber(redis.call('GET', today) or 0), images, tonumber(ARGV[8])},
  {'queue', queued('images'), images, tonumber(ARGV[9])},
  {'room', queued('bytes'), images * image_bytes + job_bytes, tonumber(ARGV[10])},
}
for _, bound in ipairs(asked) do
  local verdict, there, more, most = unpack(bound)
  if most and there + more > most then return {verdict, there, midnight_s} end
end

for _, name in ipairs({'images', 'tenant:' .. ARGV[1], 'queue:' .. ARGV[2] .. '.' .. ARGV[3]}) do
  redis.call('HINCRBY', QUEUED, name, images)
end
redis.call('HINCRBY', QUEUED, 'bytes', images * image_bytes)
if ARGV[8] ~= '' then
  redis.call('INCRBY', today, images)
  redis.call('EXPIRE', today, 2 * 86400)
end
local at = 11
while at <= #ARGV do
  local words = tonumber(ARGV[at])
  redis.call(unpack(ARGV, at + 1, at + words))
  at = at + words + 1
end
return {'admitted', 0, midnight_s}
