---Errors as callbacks get them, and the four that only exist inside Neovim.

local M = {}

local Error = {}
Error.__index = Error
Error.__tostring = function(self)
  return self.message
end

---Numbers of the errors that never come from the daemon.
M.LOCAL = {
  DAEMON_NOT_FOUND = -32090,
  DAEMON_SPAWN_FAILED = -32091,
  DAEMON_CRASH = -32092,
  DAEMON_TIMEOUT = -32093,
  INVALID_PARAMS = -32602,
  INVALID_CONFIG = -32031,
  DEPENDENCY_MISSING = -32036,
  NOTHING_TO_PLAY = -32027,
  INVALID_TRACK_ID = -32012,
  BUSY = -32033,
}

---Returns an error made on this side.
---@param code string
---@param message string
---@param hint? string
---@param data? table<string, any>
---@return lofi.Error
function M.new(code, message, hint, data)
  return setmetatable({
    code = code,
    rpc_code = M.LOCAL[code] or -32603,
    message = message,
    hint = hint or '',
    retryable = false,
    data = data or {},
  }, Error)
end

---Returns the error of a JSON-RPC error object.
---@param object { code: integer, message: string, data?: table }
---@return lofi.Error
function M.from_wire(object)
  local data = type(object.data) == 'table' and object.data or {}
  return setmetatable({
    code = data.code or 'INTERNAL_ERROR',
    rpc_code = object.code or -32603,
    message = object.message or 'the daemon gave no reason',
    hint = data.hint or '',
    retryable = data.retryable == true,
    data = data,
  }, Error)
end

---Returns the error that a notification carries.
---@param params table With `code`, `message` or `error`, `hint`
---@return lofi.Error
function M.from_notification(params)
  return M.from_wire({
    message = params.message or params.error,
    data = vim.tbl_extend('keep', params, { code = 'INTERNAL_ERROR' }),
  })
end

return M
