-- Take deliveries that are due, no more of a host or a tenant than may be under way at once. What is
-- over that is put off until about its turn, here and many at a time: thousands for one host must not
-- keep a sender busy. The time of what is taken moves to the end of the lease: who dies with it in hand
-- has put it back already.
-- KEYS: 1 deliveries due
-- ARGV: 1 delivery key prefix, 2 how many at most, 3 lease (s), 4 lease token, 5 under way (JSON)
local LOOKED_AT = 1000
local LEAST_S, MOST_S, GUESS_S = 0.25, 60, 1 -- put off; of an attempt, where none has ended yet

-- As DNS has it: without user, port and the root's dot.
local function host_of(url)
  local authority = string.match(url, '^[^:]*://([^/?#]*)') or ''
  local host = string.gsub(string.match(authority, '[^@]*$'), ':%d*$', '')
  return string.lower((string.gsub(host, '%.$', '')))
end

-- How often all that may be at once have to end before it is this one's turn; 0: it is.
local function turns_before(place, most) return math.max(place - most, 0) / most end

local function put_off(id, seconds)
  local spread = 0.5 + math.random() / 2
  due_in(KEYS[1], id, spread * math.min(math.max(seconds, LEAST_S), MOST_S))
end

local busy, claimed = cjson.decode(ARGV[5]), {}
local places, of_tenant = {}, busy.tenants
for host, at in pairs(busy.hosts) do places[host] = at.n end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now(), 'LIMIT', 0, LOOKED_AT)) do
  local delivery = ARGV[1] .. id
  if #claimed == tonumber(ARGV[2]) then break end
  if redis.call('TYPE', delivery).ok ~= 'hash' then
    redis.call('ZREM', KEYS[1], id) -- it has expired
  else
    local told = redis.call('HMGET', delivery, 'url', 'tenant')
    local host, tenant = host_of(told[1] or ''), told[2] or ''
    places[host] = (places[host] or 0) + 1
    local turns = turns_before(places[host], busy.most_at_host)
    if turns == 0 then
      of_tenant[tenant] = (of_tenant[tenant] or 0) + 1
      turns = turns_before(of_tenant[tenant], busy.most_of_tenant)
    end
    if turns > 0 then
      put_off(id, turns * ((busy.hosts[host] or {}).took_s or GUESS_S))
    else
      due_in(KEYS[1], id, ARGV[3])
      redis.call('HSET', delivery, 'lease', ARGV[4])
      claimed[#claimed + 1] = {id, host, redis.call('HGETALL', delivery)}
    end
  end
end
return claimed
