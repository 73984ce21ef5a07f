---Why making the Python environment failed, read from what programs said, and the hint for it.

local errors = require('lofi.errors')
local program = require('lofi.program')

local M = {}

---How much of a failing program's output goes into the message.
local SHOWN_LINES = 3

local UV_HINT = 'uv (docs.astral.sh/uv), which brings its own.'
local LOG_HINT = 'The log (:Lofi log names it) has all of it.'
---`data.reason` of the error names the entry.
---@type table<string, { message: string, hint: string, code?: string }>
local REASONS = {
  no_python = {
    message = 'there is no Python here',
    hint = 'Install Python 3.11 or newer, or ' .. UV_HINT,
  },
  too_old = {
    message = '%s is Python %s; lofi needs 3.11 or newer',
    hint = 'Install a newer Python, or ' .. UV_HINT,
  },
  no_venv = {
    message = "%s cannot make environments: its 'venv' or 'ensurepip' is missing",
    hint = 'Install it (Debian, Ubuntu: apt install python3-venv), or install uv.',
  },
  no_pip = {
    message = 'the new environment has no pip',
    hint = 'Install pip (Debian, Ubuntu: apt install python3-pip), or install uv.',
  },
  no_network = {
    message = 'the package index cannot be reached: %s',
    hint = 'Check the connection and run :Lofi setup python again. PIP_* and UV_* are honoured.',
  },
  no_space = {
    message = 'not enough disk space in %s: %d MB needed, %d MB free',
    hint = 'Free some space and run :Lofi setup python again.',
    code = 'INSUFFICIENT_DISK',
  },
  disk_full = {
    message = 'the disk is full: %s',
    hint = 'Free some space and run :Lofi setup python again.',
    code = 'INSUFFICIENT_DISK',
  },
  not_writable = {
    message = '%s cannot be written: %s',
    hint = 'Make it yours, or name another place in XDG_DATA_HOME.',
  },
  not_made = {
    message = 'the environment could not be made: %s',
    hint = LOG_HINT,
  },
  not_installed = {
    message = 'the packages could not be installed: %s',
    hint = LOG_HINT,
  },
  not_working = {
    message = 'the packages are there but do not load: %s',
    hint = 'Another Python may do: set LOFI_PYTHON or daemon.python, or install uv.',
  },
}

local NETWORK_PATTERNS = {
  'name resolution',
  'NewConnectionError',
  'Network is unreachable',
  'No route to host',
  'Connection refused',
  'timed out',
  'ConnectTimeout',
  'ProxyError',
  'CERTIFICATE',
  'SSLError',
  'dns error',
  'error sending request',
  'client error %(Connect%)',
  'Could not connect',
}
local DISK_PATTERNS = { 'No space left', 'ENOSPC', '[Dd]isk quota' }
local WRITE_PATTERNS = { 'Permission denied', 'Read%-only file system', 'EACCES', 'EROFS' }

---@param text string
---@return string
local function last_lines(text)
  local lines = vim.split(vim.trim(text), '\n', { trimempty = true })
  return table.concat(vim.list_slice(lines, math.max(1, #lines - SHOWN_LINES + 1)), ' | ')
end

---Returns the error of a reason.
---@param reason string
---@param ... any For the message
---@return lofi.Error
function M.new(reason, ...)
  local known = REASONS[reason]
  local code = known.code or 'DEPENDENCY_MISSING'
  return errors.new(code, known.message:format(...), known.hint, { reason = reason })
end

---Raises the error of a reason.
---@param reason string
---@param ... any For the message
function M.raise(reason, ...)
  error(M.new(reason, ...), 0)
end

---Whether a program failed for want of the network.
---@param result lofi.program.Run
---@return boolean
function M.is_network(result)
  return result.code ~= 0 and program.says(result.output, NETWORK_PATTERNS)
end

---Raises why a program failed, when it did: the disk, the network, the folder, else `reason`.
---@param result lofi.program.Run
---@param reason string
---@param folder string Where it wrote
function M.check(result, reason, folder)
  if result.code == 0 then
    return
  elseif program.says(result.output, DISK_PATTERNS) then
    M.raise('disk_full', last_lines(result.output))
  elseif M.is_network(result) then
    M.raise('no_network', last_lines(result.output))
  elseif program.says(result.output, WRITE_PATTERNS) then
    M.raise('not_writable', folder, last_lines(result.output))
  end
  M.raise(reason, last_lines(result.output))
end

return M
