-- One request out of a bucket of `burst`, which fills by one every `interval` (GCRA: the key holds
-- when the bucket will be full again). By the server's clock, so that all front ends share it.
-- KEYS: 1 bucket   ARGV: 1 interval (us), 2 burst
-- Returns {1 if taken, requests left, us until there is one more}.
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full_at = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local missing_us = full_at - now
if missing_us > (burst - 1) * interval then
  return {0, 0, missing_us - (burst - 1) * interval}
end
missing_us = missing_us + interval
-- A Redis without room refuses this; who only reads must be served all the same.
redis.pcall('SET', KEYS[1], string.format('%.0f', now + missing_us),
  'PX', math.ceil(missing_us / 1000))
local left = math.floor(burst - missing_us / interval)
return {1, left, missing_us - (burst - left - 1) * interval}
