---How the daemon is started: which command, which Python, which environment.

local config = require('lofi.config')
local errors = require('lofi.errors')

local M = {}

---Returns the plugin's own folder.
---@return string
function M.plugin_folder()
  local here = vim.fs.normalize(debug.getinfo(1, 'S').source:sub(2))
  return vim.fs.dirname(vim.fs.dirname(vim.fs.dirname(here)))
end

---Returns the folder of the managed Python environment.
---@return string
function M.venv()
  return vim.fs.joinpath(vim.fn.stdpath('data') --[[@as string]], 'lofi', 'venv')
end

---Returns the interpreter of an environment's folder.
---@param venv string
---@return string
function M.python_of(venv)
  local is_windows = vim.fn.has('win32') == 1
  return vim.fs.joinpath(venv, is_windows and 'Scripts/python.exe' or 'bin/python')
end

---Whether this editor keeps a daemon of its own instead of sharing the user's one.
---@return boolean
function M.is_private()
  return not config.get('daemon.shared') or vim.fn.has('win32') == 1
end

---@class lofi.Launch
---@field cmd string[]
---@field source string Where it came from, in words
---@field python? string
---@field missing string[] What was named before it and does not exist

---@param python string
---@param source string
---@param missing string[]
---@return lofi.Launch
local function with_python(python, source, missing)
  local cmd = { python, '-m', 'lofi', 'daemon' }
  if not M.is_private() then
    cmd[#cmd + 1] = '--shared'
  end
  return { cmd = cmd, source = source, python = python, missing = missing }
end

---Finds the daemon's command: the first that exists of `daemon.cmd`, `daemon.python`,
---`$LOFI_PYTHON`, the managed environment and `lofi` in PATH.
---@return lofi.Launch? launch
---@return lofi.Error? err
function M.find()
  local missing = {}
  local cmd = config.get('daemon.cmd')
  if cmd then
    if vim.fn.executable(cmd[1]) == 1 then
      return { cmd = cmd, source = 'daemon.cmd', missing = missing }
    end
    missing[#missing + 1] = ('daemon.cmd (%s)'):format(cmd[1])
  end
  local pythons = {
    { 'daemon.python', config.get('daemon.python') },
    { '$LOFI_PYTHON', vim.env.LOFI_PYTHON },
    { 'the managed environment', M.python_of(M.venv()) },
  }
  for index, candidate in ipairs(pythons) do
    local source, python = candidate[1], candidate[2]
    python = python and vim.fs.normalize(python)
    if python and vim.fn.executable(python) == 1 then
      return with_python(python, source, missing)
    elseif python and index < #pythons then
      missing[#missing + 1] = ('%s (%s)'):format(source, python)
    end
  end
  if vim.fn.executable('lofi') == 1 then
    local found = { vim.fn.exepath('lofi'), 'daemon' }
    if not M.is_private() then
      found[#found + 1] = '--shared'
    end
    return { cmd = found, source = '`lofi` in PATH', missing = missing }
  end
  local message = 'lofi has no Python to run its daemon with'
  if #missing > 0 then
    message = ('%s; not there: %s'):format(message, table.concat(missing, ', '))
  end
  return nil, errors.new('DAEMON_NOT_FOUND', message, 'Run :Lofi setup python.')
end

---Options that must be known before the handshake, and the variables that carry them.
local VARIABLES = {
  ['cache.dir'] = 'LOFI_CACHE_PATH',
  ['daemon.log_file'] = 'LOFI_LOG_FILE',
  ['daemon.log_level'] = 'LOFI_LOG_LEVEL',
}

---Returns the variables the daemon's process gets on top of the editor's own.
---@return table<string, string>
function M.environment()
  local python = vim.fs.joinpath(M.plugin_folder(), 'python')
  local separator = vim.fn.has('win32') == 1 and ';' or ':'
  local env = {
    PYTHONPATH = vim.env.PYTHONPATH and (python .. separator .. vim.env.PYTHONPATH) or python,
    -- Otherwise `-m` puts the editor's folder first, and its queue.py in place of Python's own.
    PYTHONSAFEPATH = '1',
  }
  local written = config.for_daemon()
  for key, name in pairs(VARIABLES) do
    if written[key] ~= nil then
      env[name] = tostring(written[key])
    end
  end
  return env
end

return M
