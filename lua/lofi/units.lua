---Sizes, times and words as people read them.

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

---Returns seconds as people read them: `0:15`, `1:02:30`.
---@param seconds number?
---@return string
function M.clock(seconds)
  seconds = math.floor((seconds or 0) + 0.5)
  if seconds >= 3600 then
    return ('%d:%02d:%02d'):format(seconds / 3600, seconds / 60 % 60, seconds % 60)
  end
  return ('%d:%02d'):format(math.floor(seconds / 60), seconds % 60)
end

---Returns a text in one line, without what no line can hold: a prompt, a title or a model's words
---may be anything.
---@param text string
---@return string
function M.line(text)
  return (text:gsub('%s*\n%s*', ' '):gsub('%c', ' '))
end

---Returns a count with its word: `1 track`, `3 tracks`.
---@param count integer
---@param word string
---@return string
function M.count(count, word)
  return ('%d %s%s'):format(count, word, count == 1 and '' or 's')
end

---Returns a volume: `volume 60%, muted`.
---@param level number 0..1
---@param is_muted boolean
---@return string
function M.volume(level, is_muted)
  return ('volume %d%%%s'):format(math.floor(level * 100 + 0.5), is_muted and ', muted' or '')
end

return M
