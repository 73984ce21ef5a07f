---Who listens to what: `on`, `once`, `off`, and the same events as `User Lofi…` autocommands.

local check = require('lofi.check')
local log = require('lofi.log')

local M = {}

---Names of wire notifications whose event drops the participle.
local EVENT_OF = {
  playback_started = 'playback_start',
  playback_paused = 'playback_pause',
  playback_resumed = 'playback_resume',
  playback_ended = 'playback_end',
  playlist_changed = 'playlist_change',
  queue_changed = 'queue_change',
  cache_changed = 'cache_change',
  backend_changed = 'backend_change',
  config_changed = 'config_change',
}

---Every event there is, for completion, help and the check of `on`.
M.NAMES = {
  'generation_queued',
  'generation_start',
  'generation_progress',
  'generation_complete',
  'generation_error',
  'generation_cancelled',
  'download_progress',
  'download_complete',
  'download_error',
  'download_cancelled',
  'playback_start',
  'playback_pause',
  'playback_resume',
  'playback_end',
  'playback_state',
  'playback_error',
  'playlist_change',
  'queue_change',
  'cache_change',
  'backend_change',
  'config_change',
  'operation_progress',
  'daemon_start',
  'daemon_ready',
  'daemon_exit',
  'daemon_restart',
  'daemon_error',
}

---@type table<string, fun(...)[]>
local handlers = {}
---Handlers that failed before: each is reported once.
---@type table<fun(...), true>
local failed = setmetatable({}, { __mode = 'k' })

---Returns the event of a wire notification.
---@param method string
---@return string
function M.name_of(method)
  return EVENT_OF[method] or method
end

---Returns the User autocommand's pattern, `LofiGenerationComplete`.
---@param event string
---@return string
function M.pattern_of(event)
  return 'Lofi'
    .. event:gsub('_?(%a)(%a*)', function(first, rest)
      return first:upper() .. rest
    end)
end

---Calls `handler(data)` at each `event`; `'*'` gets everything as `(event, data)`.
---@param event string
---@param handler fun(...)
---@return fun() unsubscribe
function M.on(event, handler)
  check.type('event', event, 'string')
  check.type('handler', handler, 'function')
  if event ~= '*' and not vim.list_contains(M.NAMES, event) then
    local question = require('lofi.nearest').question(event, M.NAMES)
    error(('lofi: there is no event "%s". %s'):format(event, question), 2)
  end
  handlers[event] = handlers[event] or {}
  table.insert(handlers[event], handler)
  return function()
    M.off(event, handler)
  end
end

---@param event string
---@param handler fun(...)
---@return fun() unsubscribe
function M.once(event, handler)
  local unsubscribe
  unsubscribe = M.on(event, function(...)
    unsubscribe()
    handler(...)
  end)
  return unsubscribe
end

---@param event string
---@param handler fun(...)
function M.off(event, handler)
  handlers[event] = vim.tbl_filter(function(known)
    return known ~= handler
  end, handlers[event] or {})
end

---Calls what somebody else wrote: what goes wrong in it is said once and stops nobody else.
---@param handler fun(...)
function M.call(handler, ...)
  local ok, trace = xpcall(handler, debug.traceback, ...)
  if ok or failed[handler] then
    return
  end
  failed[handler] = true
  log.write('error', 'an event handler failed: %s', trace)
  local first = vim.split(trace, '\n')[1]
  vim.notify('lofi: an event handler failed: ' .. first, vim.log.levels.ERROR)
end

---Tells every handler, then the autocommands. Must run on the main loop.
---@param event string
---@param data any
function M.emit(event, data)
  for _, handler in ipairs(vim.list_slice(handlers[event] or {})) do
    M.call(handler, data)
  end
  for _, handler in ipairs(vim.list_slice(handlers['*'] or {})) do
    M.call(handler, event, data)
  end
  local pattern = M.pattern_of(event)
  M.call(function()
    vim.api.nvim_exec_autocmds('User', { pattern = pattern, modeline = false, data = data })
  end)
end

return M
