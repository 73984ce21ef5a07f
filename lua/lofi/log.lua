---The plugin's own log file below stdpath('log'). The daemon has its own.

local M = {}

local LEVELS = { debug = 1, info = 2, warn = 3, error = 4 }
local LIMIT_BYTES = 1024 * 1024

---Lines below this level are not written; `daemon.lua` sets it from `daemon.log_level`.
M.level = 'warn'

---@return string
function M.path()
  return vim.fs.joinpath(vim.fn.stdpath('log') --[[@as string]], 'lofi.log')
end

---@param level 'debug'|'info'|'warn'|'error'
---@param message string
---@param ... any For string.format
function M.write(level, message, ...)
  if LEVELS[level] < LEVELS[M.level] then
    return
  end
  if select('#', ...) > 0 then
    message = message:format(...)
  end
  local path = M.path()
  local stat = vim.uv.fs_stat(path)
  if stat and stat.size > LIMIT_BYTES then
    vim.uv.fs_rename(path, path .. '.1')
  elseif not stat then
    pcall(vim.fn.mkdir, vim.fs.dirname(path), 'p')
  end
  local file = io.open(path, 'a')
  if file then -- an unwritable log must not stop the music
    file:write(('%s %s %s\n'):format(os.date('!%Y-%m-%dT%H:%M:%SZ'), level, message))
    file:close()
  end
end

return M
