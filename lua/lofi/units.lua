---Sizes and times as people read them.

local M = {}

---Returns bytes in the largest fitting unit: `340 MB`, `6.3 GB`.
---@param bytes number?
---@return string
function M.size(bytes)
  bytes = bytes or 0
  if bytes >= 1e9 then
    return ('%.1f GB'):format(bytes / 1e9)
  elseif bytes >= 1e6 then
    return ('%.0f MB'):format(bytes / 1e6)
  end
  return ('%.0f kB'):format(bytes / 1e3)
end

---Returns how long something still takes: `40 s`, `18 min`, `2 h 5 min`.
---@param seconds number
---@return string
function M.left(seconds)
  if seconds < 100 then
    return ('%d s'):format(math.ceil(seconds))
  end
  local minutes = math.ceil(seconds / 60)
  if minutes < 100 then
    return ('%d min'):format(minutes)
  end
  return ('%d h %d min'):format(math.floor(minutes / 60), minutes % 60)
end

return M
