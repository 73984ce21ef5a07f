---The one connection to the daemon: started on the first request, brought back with back-off when
---it dies, ended kindly. Requests made meanwhile wait for the handshake.

local config = require('lofi.config')
local errors = require('lofi.errors')
local events = require('lofi.events')
local launch = require('lofi.launch')
local log = require('lofi.log')
local process = require('lofi.process')
local rpc = require('lofi.rpc')
local state = require('lofi.state')
local version = require('lofi.version')

local M = {}

local BACK_OFF_MS = { 500, 1000, 2000 }
local HEALTHY_AFTER_MS = 60000
---A cold Python on a busy machine takes its time; the relay itself gives a new daemon 15 s.
local HANDSHAKE_LIMIT_MS = 20000
---Methods that answer when their work is done; their limit counts from their last sign of life.
local LONG = {
  generate = true,
  estimate = true,
  doctor = true,
  analyze = true,
  waveform = true,
  cache_export = true,
  cache_import = true,
  cache_gc = true,
  lm_inspire = true,
  lm_format = true,
  lm_understand = true,
  lm_codes = true,
  lyrics_timing = true,
  score = true,
}
local LONG_LIMIT_MS = 120000
---Reading or deleting tens of gigabytes, without a sign of life meanwhile.
local DISK = { backend_verify = true, backend_remove = true }
local DISK_LIMIT_MS = 3600000
local STDERR_LINES = 5

---@class lofi.daemon.Session
---@field child lofi.Process
---@field conn lofi.rpc.Conn
---@field is_ready boolean
---@field is_expected boolean We asked for the end
---@field stderr string[] Its last lines
---@field timers table<integer, { timer: uv.uv_timer_t, limit_ms: integer, expire: fun() }> By id

---@class lofi.daemon.Ticket What names a request to the daemon
---@field id? integer nil until it is sent

---@type lofi.daemon.Session?
local session
---Requests made before the handshake is answered, in order.
---@type { method: string, params: table, callback: lofi.Callback, ticket: lofi.daemon.Ticket }[]
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

---@param err lofi.Error
local function fail_waiting(err)
  local requests, callbacks = waiting, starters
  waiting, starters = {}, {}
  for _, callback in ipairs(callbacks) do
    later(callback, err)
  end
  for _, request in ipairs(requests) do
    later(request.callback, err)
  end
end

---@param own lofi.daemon.Session
---@param id integer
local function disarm(own, id)
  local armed = own.timers[id]
  if armed then
    own.timers[id] = nil
    armed.timer:stop()
    armed.timer:close()
  end
end

---@param own lofi.daemon.Session
---@param method string
---@param params table
---@param callback lofi.Callback
---@param ticket lofi.daemon.Ticket
local function send(own, method, params, callback, ticket)
  local id
  id = own.conn:request(method, params, function(err, result)
    disarm(own, id)
    if not err then
      state.answered(method, params, result)
    end
    callback(err, result)
  end)
  ticket.id = id
  local limit_ms = (LONG[method] and LONG_LIMIT_MS)
    or (DISK[method] and DISK_LIMIT_MS)
    or config.get('daemon.request_timeout_ms')
  local timer = assert(vim.uv.new_timer())
  local expire = vim.schedule_wrap(function()
    local message = ('the daemon did not answer %s within %g s'):format(method, limit_ms / 1000)
    own.conn:abandon(id, errors.new('DAEMON_TIMEOUT', message, 'Run :Lofi daemon restart.'))
  end)
  own.timers[id] = { timer = timer, limit_ms = limit_ms, expire = expire }
  timer:start(limit_ms, 0, expire)
end

---@param own lofi.daemon.Session
---@param method string
---@param params table
local function notified(own, method, params)
  local armed = method == 'operation_progress' and own.timers[params.request_id]
  if armed then
    armed.timer:start(armed.limit_ms, 0, armed.expire)
  end
  state.notified(method, params)
  events.emit(events.name_of(method), params)
end

---@param own lofi.daemon.Session
---@param chunk string
local function keep_stderr(own, chunk)
  for _, line in ipairs(vim.split(chunk, '\n', { trimempty = true })) do
    log.write('info', 'daemon: %s', line)
    table.insert(own.stderr, line)
    if #own.stderr > STDERR_LINES then
      table.remove(own.stderr, 1)
    end
  end
end

---@param own lofi.daemon.Session
---@param result table
local function ready(own, result)
  own.is_ready = true
  state.connected(result)
  local callbacks, requests = starters, waiting
  starters, waiting = {}, {}
  for _, request in ipairs(requests) do
    send(own, request.method, request.params, request.callback, request.ticket)
  end
  events.emit('daemon_ready', result)
  for _, callback in ipairs(callbacks) do
    callback(nil, result.daemon)
  end
  local running = (result.daemon or {}).version
  if running ~= version.plugin then
    local text =
      'lofi: the daemon is version %s, the plugin %s; :Lofi daemon restart brings them together'
    vim.notify(text:format(running, version.plugin), vim.log.levels.WARN)
  end
  vim.defer_fn(function()
    if session == own then
      attempt = 0
    end
  end, HEALTHY_AFTER_MS)
end

---@param own lofi.daemon.Session
---@param code integer
---@param signal integer
---@return lofi.Error
local function why_it_ended(own, code, signal)
  local said = #own.stderr > 0 and ': ' .. own.stderr[#own.stderr] or ''
  local data = { code = code, signal = signal, stderr = own.stderr }
  local how = signal ~= 0 and ('signal %d'):format(signal) or ('status %d'):format(code)
  if own.is_expected then
    return errors.new('DAEMON_CRASH', 'the daemon was stopped', '', data)
  elseif own.is_ready then
    local message = ('the daemon ended unexpectedly (%s)%s'):format(how, said)
    return errors.new('DAEMON_CRASH', message, ':Lofi log shows what happened.', data)
  end
  local hint = ':Lofi log shows what happened; :checkhealth lofi looks for the cause.'
  if table.concat(own.stderr, '\n'):find('ModuleNotFoundError', 1, true) then
    hint = 'Run :Lofi setup python.'
  end
  local message = ('the daemon could not be started (%s)%s'):format(how, said)
  return errors.new('DAEMON_SPAWN_FAILED', message, hint, data)
end

---@param why lofi.Error
local function come_back(why)
  attempt = attempt + 1
  is_coming_back = true
  events.emit('daemon_restart', { attempt = attempt })
  vim.defer_fn(function()
    if is_coming_back then
      is_coming_back = false
      spawn()
    end
  end, BACK_OFF_MS[attempt])
  log.write('warn', '%s; starting it again (attempt %d)', why.message, attempt)
end

---@param own lofi.daemon.Session
---@param code integer
---@param signal integer
local function exited(own, code, signal)
  local why = why_it_ended(own, code, signal)
  if session == own then
    session = nil
    state.disconnected()
  end
  for id in pairs(own.timers) do
    disarm(own, id)
  end
  log.write('info', 'connection ended: code %d, signal %d', code, signal)
  events.emit('daemon_exit', { code = code, signal = signal, expected = own.is_expected })
  own.conn:close(why)
  if session then
    return -- a newer one is there already
  end
  -- Status 0 is an end somebody asked for: another editor's `:Lofi daemon stop`.
  local is_crash = not own.is_expected and (code ~= 0 or signal ~= 0)
  local may_return = (own.is_ready or attempt > 0) and config.get('daemon.restart_on_crash')
  if is_crash and may_return and attempt < #BACK_OFF_MS then
    return come_back(why)
  end
  if is_crash then
    events.emit(
      'daemon_error',
      { code = why.code, message = why.message, hint = why.hint, fatal = true }
    )
  end
  fail_waiting(why)
end

---@param own lofi.daemon.Session
local function shake_hands(own)
  local limit_ms = math.max(HANDSHAKE_LIMIT_MS, config.get('daemon.request_timeout_ms'))
  local timer = assert(vim.uv.new_timer())
  local params = {
    client = { name = 'nvim', version = version.plugin },
    protocol = { version.protocol },
    client_pid = vim.fn.getpid(),
    config = config.for_daemon(),
  }
  if next(params.config) == nil then
    params.config = nil
  end
  local id = own.conn:request('initialize', params, function(err, result)
    timer:stop()
    timer:close()
    if not err then
      return ready(own, result)
    end
    fail_waiting(err)
    own.is_expected = true
    own.child:stop()
  end)
  timer:start(
    limit_ms,
    0,
    vim.schedule_wrap(function()
      local message = ('the daemon did not greet within %d s'):format(limit_ms / 1000)
      own.conn:abandon(id, errors.new('DAEMON_TIMEOUT', message, 'Run :checkhealth lofi.'))
    end)
  )
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
      if session then
        session.is_expected = true
        session.child:close_stdin() -- the relay ends by itself; quitting waits for nobody
      end
    end,
  })
end

spawn = function()
  local found, err = launch.find()
  if not found then
    return fail_waiting(err --[[@as lofi.Error]])
  end
  for _, name in ipairs(found.missing) do
    log.write('warn', 'not there: %s; using %s', name, found.source)
  end
  log.level = config.get('daemon.log_level')
  ---@type lofi.daemon.Session
  local own = { is_ready = false, is_expected = false, stderr = {}, timers = {} }
  own.conn = rpc.new({
    write = function(line)
      own.child:write(line)
    end,
    on_notification = function(method, params)
      notified(own, method, params)
    end,
    on_garbage = function(line)
      log.write('warn', 'not a message: %s', line:sub(1, 200))
    end,
    on_failure = function(trace)
      log.write('error', 'a callback failed: %s', trace)
      vim.notify('lofi: a callback failed: ' .. vim.split(trace, '\n')[1], vim.log.levels.ERROR)
    end,
  })
  local child, reason = process.spawn({
    cmd = found.cmd,
    env = launch.environment(),
    on_stdout = function(chunk)
      own.conn:feed(chunk)
    end,
    on_stderr = function(chunk)
      keep_stderr(own, chunk)
    end,
    on_exit = function(code, signal)
      exited(own, code, signal)
    end,
  })
  if not child then
    local message = ('%s cannot be started: %s'):format(found.cmd[1], reason)
    return fail_waiting(errors.new('DAEMON_SPAWN_FAILED', message, 'Run :checkhealth lofi.'))
  end
  own.child = child
  session = own
  hook_leaving()
  events.emit('daemon_start', { pid = child.pid, source = found.source })
  shake_hands(own)
end

---Starts the daemon, or joins the one that runs. Returns at once.
---@param callback? lofi.Callback Gets the daemon's name, version and pid
function M.start(callback)
  callback = callback or function() end
  if session and session.is_ready then
    return later(callback, nil, state.now.daemon)
  end
  table.insert(starters, callback)
  if not session and not is_coming_back then
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
    fail_waiting(errors.new('DAEMON_CRASH', 'the daemon was stopped'))
  end
  local own = session
  if not own then
    return later(callback, nil, { status = 'not running' })
  end
  own.is_expected = true
  local unsubscribe
  unsubscribe = events.on('daemon_exit', function()
    if session ~= own then
      unsubscribe()
      callback(nil, { status = 'stopped' })
    end
  end)
  if not own.is_ready then
    return own.child:stop()
  end
  own.conn:request('shutdown', opts or {}, function()
    own.child:stop()
  end)
  if (opts or {}).mode ~= 'after_current' then
    vim.defer_fn(function()
      own.child:stop()
    end, 1000)
  end
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
  return session ~= nil and session.is_ready
end

---Asks the daemon, starting it if need be. `callback` is called once, never before this returns.
---@param method string
---@param params? table
---@param callback? lofi.Callback
---@return lofi.daemon.Ticket
function M.request(method, params, callback)
  callback = callback or function() end
  params = params or {}
  local ticket = {} ---@type lofi.daemon.Ticket
  if session and session.is_ready then
    send(session, method, params, callback, ticket)
    return ticket
  end
  local is_on_its_way = session ~= nil or is_coming_back
  if not is_on_its_way and not config.get('daemon.auto_start') then
    local message = 'the daemon is not running, and daemon.auto_start is off'
    later(callback, errors.new('DAEMON_NOT_FOUND', message, 'Run :Lofi daemon start.'))
    return ticket
  end
  table.insert(waiting, { method = method, params = params, callback = callback, ticket = ticket })
  if not is_on_its_way then
    spawn()
  end
  return ticket
end

M.on = events.on

return M
