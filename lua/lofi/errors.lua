---Errors as callbacks get them: the daemon's, and the four that only exist inside Neovim.

local M = {}

local Error = {}
Error.__index = Error
Error.__tostring = function(self)
  return self.message
end

---The number of each code. Notifications carry codes only; a test compares this table with
---`python/lofi/errors.py`.
---@type table<string, integer>
M.NUMBERS = {
  DAEMON_NOT_FOUND = -32090,
  DAEMON_SPAWN_FAILED = -32091,
  DAEMON_CRASH = -32092,
  DAEMON_TIMEOUT = -32093,

  PARSE_ERROR = -32700,
  INVALID_REQUEST = -32600,
  METHOD_NOT_FOUND = -32601,
  INVALID_PARAMS = -32602,
  INTERNAL_ERROR = -32603,
  MODEL_NOT_FOUND = -32000,
  MODEL_LOAD_FAILED = -32001,
  MODEL_DOWNLOAD_FAILED = -32002,
  MODEL_INFERENCE_FAILED = -32003,
  QUEUE_FULL = -32004,
  INVALID_DURATION = -32005,
  INVALID_PROMPT = -32006,
  INVALID_BACKEND = -32007,
  BACKEND_NOT_INSTALLED = -32008,
  INVALID_INFERENCE_STEPS = -32009,
  INVALID_GUIDANCE_SCALE = -32010,
  INVALID_SCHEDULER = -32011,
  INVALID_TRACK_ID = -32012,
  GENERATION_CANCELLED = -32013,
  NOT_CANCELLABLE = -32014,
  BACKEND_NOT_READY = -32015,
  DOWNLOAD_CONSENT_REQUIRED = -32016,
  INSUFFICIENT_DISK = -32017,
  INSUFFICIENT_MEMORY = -32018,
  DEVICE_UNAVAILABLE = -32019,
  UNSUPPORTED_TASK = -32020,
  INVALID_SOURCE = -32021,
  INVALID_LYRICS = -32022,
  INVALID_LORA = -32023,
  LM_UNAVAILABLE = -32024,
  AUDIO_DEVICE_ERROR = -32025,
  AUDIO_PLAYBACK_ERROR = -32026,
  NOTHING_TO_PLAY = -32027,
  CACHE_WRITE_ERROR = -32028,
  CACHE_CORRUPT = -32029,
  UNSUPPORTED_FORMAT = -32030,
  INVALID_CONFIG = -32031,
  VERIFY_FAILED = -32032,
  BUSY = -32033,
  SHUTTING_DOWN = -32034,
  PROTOCOL_MISMATCH = -32035,
  DEPENDENCY_MISSING = -32036,
  OFFLINE = -32037,
  TIMEOUT = -32038,
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
    rpc_code = M.NUMBERS[code],
    message = message,
    hint = hint or '',
    retryable = false,
    data = data or {},
  }, Error)
end

---Returns the error of a JSON-RPC error object.
---@param object { code?: integer, message: string, data?: table }
---@return lofi.Error
function M.from_wire(object)
  local data = type(object.data) == 'table' and object.data or {}
  local code = data.code or 'INTERNAL_ERROR'
  return setmetatable({
    code = code,
    rpc_code = object.code or M.NUMBERS[code] or M.NUMBERS.INTERNAL_ERROR,
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
    data = params,
  })
end

return M
