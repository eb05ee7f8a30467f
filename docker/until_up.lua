-- `http-request lua.until_up`: hold a request for as long as no replica of the API is up, a minute at
-- most; then txn.too_late is true.
local INTERVAL_MS, TIMES = 100, 600

local function any_is_up()
  for name, server in pairs(core.backends["api"].servers) do
    if name ~= "later" and server:get_stats()["status"]:find("^UP") then
      return true
    end
  end
  return false
end

core.register_action("until_up", { "http-req" }, function(txn)
  for _ = 1, TIMES do
    if any_is_up() then
      return
    end
    core.msleep(INTERVAL_MS)
  end
  txn:set_var("txn.too_late", true)
end)
