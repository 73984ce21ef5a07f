---The one connection to the daemon: started on the first request, brought back with back-off when
---it dies, ended kindly. Requests made meanwhile wait for the handshake.

local config = require('lofi.config')
local errors = require('lofi.errors')
local events = require('lofi.events')
local launch = require('lofi.launch')
local log = require('lofi.log')
local session = require('lofi.session')
local state = require('lofi.state')
local version = require('lofi.version')

local M = {}

local BACK_OFF_MS = { 500, 1000, 2000 }
local HEALTHY_AFTER_MS = 60000

---@class lofi.daemon.Ticket What names a request to the daemon
---@field id? integer nil until it is sent

---@class lofi.daemon.Request
---@field method string
---@field params table
---@field callback lofi.Callback
---@field ticket lofi.daemon.Ticket

---@type lofi.Session?
local current
---Requests made before the handshake is answered, in order.
---@type lofi.daemon.Request[]
local waiting = {}
---@type lofi.Callback[]
local starters = {}
local attempt = 0
local is_coming_back = false
local has_leave_hook = false

---@type fun()
local spawn

---@param callback lofi.Callback
---@param err lofi.Error?
---@param result any
local function later(callback, err, result)
  vim.schedule(function()
    callback(err, result)
  end)
end

---Takes everybody who waits off the list. Returns what tells them why it was in vain.
---@return fun(err: lofi.Error)
local function take_waiting()
  local requests, callbacks = waiting, starters
  waiting, starters = {}, {}
  return function(err)
    for _, callback in ipairs(callbacks) do
      later(callback, err)
    end
    for _, request in ipairs(requests) do
      later(request.callback, err)
    end
  end
end

---@param own lofi.Session
---@param request lofi.daemon.Request
local function send(own, request)
  request.ticket.id = own:request(request.method, request.params, request.callback)
end

---@param own lofi.Session
---@param result table
local function ready(own, result)
  state.connected(result)
  local callbacks, requests = starters, waiting
  starters, waiting = {}, {}
  for _, request in ipairs(requests) do
    send(own, request)
  end
  events.emit('daemon_ready', result)
  for _, callback in ipairs(callbacks) do
    later(callback, nil, result.daemon)
  end
  local running = (result.daemon or {}).version
  if running ~= version.plugin then
    local message = ('the daemon is version %s, the plugin %s'):format(running, version.plugin)
    local hint = ':Lofi daemon restart brings them together.'
    events.emit('daemon_error', {
      code = 'PROTOCOL_MISMATCH',
      message = message,
      hint = hint,
      fatal = false,
    })
  end
  vim.defer_fn(function()
    if current == own then
      attempt = 0
    end
  end, HEALTHY_AFTER_MS)
end

---@param why lofi.Error
local function come_back(why)
  attempt = attempt + 1
  is_coming_back = true
  log.write('warn', '%s; starting it again (attempt %d)', why.message, attempt)
  events.emit('daemon_restart', { attempt = attempt })
  vim.defer_fn(function()
    if is_coming_back then
      is_coming_back = false
      spawn()
    end
  end, BACK_OFF_MS[attempt])
end

---@param own lofi.Session
---@param why lofi.Error
---@param is_crash boolean
local function exited(own, why, is_crash)
  if current == own then
    current = nil
    state.disconnected()
  end
  local may_return = (own.is_ready or attempt > 0) and config.get('daemon.restart_on_crash')
  local returns = is_crash and may_return and attempt < #BACK_OFF_MS and not current
  -- Before anybody hears of it: who then asks again waits for the next session.
  local tell = not returns and not current and take_waiting()
  events.emit('daemon_exit', {
    code = why.data.code,
    signal = why.data.signal,
    expected = own.is_expected,
  })
  if returns then
    come_back(why)
  elseif is_crash and not current then
    local failure = { code = why.code, message = why.message, hint = why.hint, fatal = true }
    events.emit('daemon_error', failure)
  end
  own:close(why)
  if tell then
    tell(why)
  end
end

local function hook_leaving()
  if has_leave_hook then
    return
  end
  has_leave_hook = true
  vim.api.nvim_create_autocmd('VimLeavePre', {
    group = vim.api.nvim_create_augroup('lofi.daemon', {}),
    desc = 'let go of the lofi daemon',
    callback = function()
      if current then
        current:let_go() -- quitting waits for nobody
      end
    end,
  })
end

spawn = function()
  local found, err = launch.find()
  if not found then
    return take_waiting()(err --[[@as lofi.Error]])
  end
  for _, name in ipairs(found.missing) do
    log.write('warn', 'not there: %s; using %s', name, found.source)
  end
  log.level = config.get('daemon.log_level')
  local own, err_or_pid
  own, err_or_pid = session.open(found, {
    on_ready = function(result)
      ready(own, result)
    end,
    on_refused = function(why)
      if current == own then -- else it has ended, and `exited` speaks
        take_waiting()(why)
      end
    end,
    on_notification = function(method, params)
      state.notified(method, params)
      events.emit(events.name_of(method), params)
    end,
    on_answer = state.answered,
    on_exit = function(why, is_crash)
      exited(own, why, is_crash)
    end,
  })
  if not own then
    return take_waiting()(err_or_pid --[[@as lofi.Error]])
  end
  current = own
  hook_leaving()
  events.emit('daemon_start', { pid = err_or_pid, source = found.source })
end

---Starts the daemon, or joins the one that runs. Returns at once.
---@param callback? lofi.Callback Gets the daemon's name, version and pid
function M.start(callback)
  callback = callback or function() end
  if current and current.is_ready then
    return later(callback, nil, state.now.daemon)
  end
  table.insert(starters, callback)
  if not current and not is_coming_back then
    spawn()
  end
end

---Ends the daemon, for every editor that uses it.
---@param opts? { mode?: 'now'|'after_current' }
---@param callback? lofi.Callback
function M.stop(opts, callback)
  callback = callback or function() end
  if is_coming_back then
    is_coming_back = false
    take_waiting()(errors.new('DAEMON_CRASH', 'the daemon was stopped'))
  end
  local own = current
  if not own then
    return later(callback, nil, { status = 'not running' })
  end
  local unsubscribe
  unsubscribe = events.on('daemon_exit', function()
    if current ~= own then
      unsubscribe()
      callback(nil, { status = 'stopped' })
    end
  end)
  own:stop(opts or {})
end

---@param callback? lofi.Callback
function M.restart(callback)
  attempt = 0
  M.stop({}, function()
    M.start(callback)
  end)
end

---@return boolean
function M.is_running()
  return current ~= nil and current.is_ready
end

---Asks the daemon, starting it if need be. `callback` is called once, never before this returns.
---@param method string
---@param params? table
---@param callback? lofi.Callback
---@return lofi.daemon.Ticket
function M.request(method, params, callback)
  ---@type lofi.daemon.Request
  local request = {
    method = method,
    params = params or {},
    callback = callback or function() end,
    ticket = {},
  }
  if current and current.is_ready then
    send(current, request)
    return request.ticket
  end
  local is_on_its_way = current ~= nil or is_coming_back
  if not is_on_its_way and not config.get('daemon.auto_start') then
    local message = 'the daemon is not running, and daemon.auto_start is off'
    later(request.callback, errors.new('DAEMON_NOT_FOUND', message, 'Run :Lofi daemon start.'))
    return request.ticket
  end
  table.insert(waiting, request)
  if not is_on_its_way then
    spawn()
  end
  return request.ticket
end

M.on = events.on

return M
