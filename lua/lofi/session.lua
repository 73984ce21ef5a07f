---One life of the daemon's process: the handshake, requests with their time limits, why it ended.
---Which session there is, and whether another follows, is for `daemon.lua` to say.

local config = require('lofi.config')
local errors = require('lofi.errors')
local launch = require('lofi.launch')
local log = require('lofi.log')
local process = require('lofi.process')
local rpc = require('lofi.rpc')
local version = require('lofi.version')

local M = {}

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
---From asking for the end until it is enforced.
local OBEY_LIMIT_MS = 1000
local STDERR_LINES = 5

---@class lofi.session.Hooks Each on the main loop
---@field on_ready fun(result: table) The handshake's answer
---@field on_refused fun(err: lofi.Error) The handshake failed; the process is being ended
---@field on_notification fun(method: string, params: table)
---@field on_answer fun(method: string, params: table, result: any) Before the caller hears
---@field on_exit fun(why: lofi.Error, is_crash: boolean) Callers still wait: `Session:close`

---@class lofi.session.Deadline
---@field timer uv.uv_timer_t
---@field limit_ms integer
---@field expire fun()

---@class lofi.Session
---@field is_ready boolean The handshake was answered
---@field is_expected boolean We asked for the end
---@field private child lofi.Process
---@field private conn lofi.rpc.Conn
---@field private hooks lofi.session.Hooks
---@field private stderr string[] Its last lines
---@field private deadlines table<integer, lofi.session.Deadline> By request id
local Session = {}
Session.__index = Session

---@param method string
---@return integer
local function limit_of(method)
  return (LONG[method] and LONG_LIMIT_MS)
    or (DISK[method] and DISK_LIMIT_MS)
    or config.get('daemon.request_timeout_ms')
end

---@private
---@param id integer
---@param limit_ms integer
---@param err lofi.Error What the caller gets when the time is over
function Session:arm(id, limit_ms, err)
  local timer = assert(vim.uv.new_timer())
  local expire = vim.schedule_wrap(function()
    self.conn:abandon(id, err)
  end)
  self.deadlines[id] = { timer = timer, limit_ms = limit_ms, expire = expire }
  timer:start(limit_ms, 0, expire)
end

---@private
---@param id integer
function Session:disarm(id)
  local deadline = self.deadlines[id]
  if deadline then
    self.deadlines[id] = nil
    deadline.timer:close()
  end
end

---Sends a request. `callback(err, result)` is called once.
---@param method string
---@param params table
---@param callback lofi.Callback
---@return integer id
function Session:request(method, params, callback)
  local id
  id = self.conn:request(method, params, function(err, result)
    self:disarm(id)
    if not err then
      self.hooks.on_answer(method, params, result)
    end
    callback(err, result)
  end)
  local limit_ms = limit_of(method)
  local message = ('the daemon did not answer %s within %g s'):format(method, limit_ms / 1000)
  self:arm(id, limit_ms, errors.new('DAEMON_TIMEOUT', message, 'Run :Lofi daemon restart.'))
  return id
end

---Ends the connection kindly; the relay ends by itself. Waits for nobody.
function Session:let_go()
  self.is_expected = true
  self.child:close_stdin()
end

---Ends the daemon, for everybody; by force when it does not obey.
---@param opts { mode?: 'now'|'after_current' }
function Session:stop(opts)
  self.is_expected = true
  local function force()
    self.child:stop()
  end
  if not self.is_ready then
    return force()
  end
  self.conn:request('shutdown', opts, force)
  if opts.mode ~= 'after_current' then
    vim.defer_fn(force, OBEY_LIMIT_MS)
  end
end

---Ends the conversation: every caller still waiting hears why.
---@param why lofi.Error
function Session:close(why)
  for id in pairs(self.deadlines) do
    self:disarm(id)
  end
  self.conn:close(why)
end

---@private
---@param method string
---@param params table
function Session:notified(method, params)
  local deadline = method == 'operation_progress' and self.deadlines[params.request_id]
  if deadline then
    deadline.timer:start(deadline.limit_ms, 0, deadline.expire)
  end
  self.hooks.on_notification(method, params)
end

---@private
---@param chunk string
function Session:keep_stderr(chunk)
  for _, line in ipairs(vim.split(chunk, '\n', { trimempty = true })) do
    log.write('info', 'daemon: %s', line)
    table.insert(self.stderr, line)
    if #self.stderr > STDERR_LINES then
      table.remove(self.stderr, 1)
    end
  end
end

---@private
---@param code integer
---@param signal integer
---@return lofi.Error
function Session:why_it_ended(code, signal)
  local said = #self.stderr > 0 and ': ' .. self.stderr[#self.stderr] or ''
  local data = { code = code, signal = signal, stderr = self.stderr }
  local how = signal ~= 0 and ('signal %d'):format(signal) or ('status %d'):format(code)
  if self.is_expected then
    return errors.new('DAEMON_CRASH', 'the daemon was stopped', '', data)
  elseif self.is_ready then
    local message = ('the daemon ended unexpectedly (%s)%s'):format(how, said)
    return errors.new('DAEMON_CRASH', message, ':Lofi log shows what happened.', data)
  end
  local hint = ':Lofi log shows what happened; :checkhealth lofi looks for the cause.'
  if table.concat(self.stderr, '\n'):find('ModuleNotFoundError', 1, true) then
    hint = 'Run :Lofi setup python.'
  end
  local message = ('the daemon could not be started (%s)%s'):format(how, said)
  return errors.new('DAEMON_SPAWN_FAILED', message, hint, data)
end

---@private
---@param code integer
---@param signal integer
function Session:exited(code, signal)
  log.write('info', 'connection ended: code %d, signal %d', code, signal)
  local why = self:why_it_ended(code, signal)
  -- Status 0 is an end somebody asked for: another editor's `:Lofi daemon stop`.
  local is_crash = not self.is_expected and (code ~= 0 or signal ~= 0)
  self.hooks.on_exit(why, is_crash)
end

---@private
function Session:shake_hands()
  local params = {
    client = { name = 'nvim', version = version.plugin },
    protocol = { version.protocol },
    client_pid = vim.fn.getpid(),
  }
  local written = config.for_daemon()
  if next(written) ~= nil then
    params.config = written
  end
  local id
  id = self.conn:request('initialize', params, function(err, result)
    self:disarm(id)
    if not err then
      self.is_ready = true
      return self.hooks.on_ready(result)
    end
    self.is_expected = true
    self.child:stop()
    self.hooks.on_refused(err)
  end)
  local limit_ms = math.max(HANDSHAKE_LIMIT_MS, config.get('daemon.request_timeout_ms'))
  local message = ('the daemon did not greet within %d s'):format(limit_ms / 1000)
  self:arm(id, limit_ms, errors.new('DAEMON_TIMEOUT', message, 'Run :checkhealth lofi.'))
end

---Starts the process and greets it.
---@param found lofi.Launch
---@param hooks lofi.session.Hooks
---@return lofi.Session? session
---@return lofi.Error|integer err_or_pid
function M.open(found, hooks)
  local self = setmetatable({
    is_ready = false,
    is_expected = false,
    hooks = hooks,
    stderr = {},
    deadlines = {},
  }, Session)
  self.conn = rpc.new({
    write = function(line)
      self.child:write(line)
    end,
    on_notification = function(method, params)
      self:notified(method, params)
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
      self.conn:feed(chunk)
    end,
    on_stderr = function(chunk)
      self:keep_stderr(chunk)
    end,
    on_exit = function(code, signal)
      self:exited(code, signal)
    end,
  })
  if not child then
    local message = ('%s cannot be started: %s'):format(found.cmd[1], reason)
    return nil, errors.new('DAEMON_SPAWN_FAILED', message, 'Run :checkhealth lofi.')
  end
  self.child = child
  self:shake_hands()
  return self, child.pid
end

return M
