-- Shared by the scripts of webhook deliveries, which run as: this text, then their own.
local function now()
  local t = redis.call('TIME')
  return string.format('%d.%06d', t[1], t[2])
end

local function due_in(due, id, seconds)
  local at = string.format('%.6f', now() + seconds)
  redis.call('ZADD', due, at, id)
  return at
end
