---Models onto the machine, checked, and off it: the public API's part about downloads. The daemon
---fetches nothing that was not agreed to; whoever calls this does the asking.

local answer = require('lofi.answer')
local check = require('lofi.check')
local daemon = require('lofi.daemon')
local errors = require('lofi.errors')
local events = require('lofi.events')
local progress = require('lofi.progress')
local state = require('lofi.state')
local units = require('lofi.units')

local M = {}

---@class lofi.models.Watcher
---@field callback lofi.Callback
---@field on_progress? fun(data: table)

---Who waits for which download's end.
---@type table<string, lofi.models.Watcher[]>
local watchers = {}

---Backends as people type them.
local SPELLINGS = { ace_step = 'ace-step', ace_step_15 = 'ace-step-1.5' }

---Returns a backend's name as commands take it.
---@param kind string Its type on the wire
---@return string
function M.spelling(kind)
  return SPELLINGS[kind] or kind
end

---Returns one line about a download: how far, how much, how fast, how long.
---@param data table As `download_progress` carries it
---@return string
function M.line_of(data)
  local speed, left = '', ''
  if (data.speed_bps or 0) > 0 then
    speed = (', %s/s'):format(units.size(data.speed_bps))
  end
  if data.eta_sec then
    left = (', %s left'):format(units.left(data.eta_sec))
  end
  local far = ('%d%%, %s of %s'):format(
    data.overall_percent or 0,
    units.size(data.bytes_downloaded),
    units.size(data.bytes_total)
  )
  return ('⇣ %s %s%s%s'):format(M.spelling(data.backend), far, speed, left)
end

---@param download_id string
---@param err lofi.Error?
---@param result any
local function ended(download_id, err, result)
  local waiting = watchers[download_id] or {}
  watchers[download_id] = nil
  if #waiting > 0 then
    progress.done(not err)
  end
  for _, watcher in ipairs(waiting) do
    events.call(watcher.callback, err, result)
  end
end

events.on('download_progress', function(data)
  local waiting = watchers[data.download_id]
  if not waiting or not data.overall_percent then
    return
  end
  progress.say(M.line_of(data), data.overall_percent)
  for _, watcher in ipairs(waiting) do
    if watcher.on_progress then
      events.call(watcher.on_progress, data)
    end
  end
end)

events.on('download_complete', function(data)
  ended(data.download_id, nil, data)
end)

events.on('download_error', function(data)
  ended(data.download_id, errors.from_notification(data))
end)

events.on('download_cancelled', function(data)
  local hint = ('Run :Lofi setup %s to go on from there.'):format(M.spelling(data.backend))
  local message = 'the download was stopped; what has come is kept'
  ended(data.download_id, errors.new('GENERATION_CANCELLED', message, hint, data))
end)

events.on('daemon_exit', function()
  for download_id in pairs(watchers) do
    local message = 'the daemon ended before the download was finished; what has come is kept'
    ended(download_id, errors.new('DAEMON_CRASH', message, 'Run :Lofi setup again to go on.'))
  end
end)

---Fetches a model, or goes on with one that was stopped; `callback` comes at the end. Without
---`consent` the error is `DOWNLOAD_CONSENT_REQUIRED`, and its `data` says to what.
---@param name string
---@param opts? lofi.SetupOpts
---@param callback? lofi.Callback
function M.setup_backend(name, opts, callback)
  check.type('name', name, 'string')
  check.type('opts', opts, 'table?')
  opts = opts or {}
  local function done(err, result)
    answer.to(callback, function(found)
      if found.already_installed then
        return name .. ' is installed already'
      end
      return ('%s is installed in %s'):format(name, found.path)
    end)(err, result)
  end
  daemon.request('download_backend', {
    backend = name,
    variant = opts.variant,
    lm_model = opts.lm,
    components = opts.components,
    source = opts.source and answer.absolute(opts.source),
    revision = opts.revision,
    repair = opts.repair,
    consent = opts.consent,
  }, function(err, result)
    if err or result.already_installed then
      return done(err, result)
    end
    local id = result.download_id
    watchers[id] = watchers[id] or {}
    table.insert(watchers[id], { callback = done, on_progress = opts.on_progress })
  end)
end

---Stops a download; what has come is kept.
---@param name? string The backend; the one that runs when left out
---@param callback? lofi.Callback
function M.download_cancel(name, callback)
  check.type('name', name, 'string?')
  answer.ask('download_cancel', { backend = name }, callback)
end

---Looks whether a model's files are whole: `{ ok, files }`.
---@param name string
---@param opts? { variant?: string, deep?: boolean }
---@param callback? lofi.Callback
function M.verify(name, opts, callback)
  check.type('name', name, 'string')
  check.type('opts', opts, 'table?')
  local params = vim.tbl_extend('force', opts or {}, { backend = name })
  answer.ask('backend_verify', params, callback, function(result)
    return result.ok and name .. ' is whole' or name .. ' is not whole'
  end)
end

---Returns the components that have a file which is not what it should be.
---@param files table[] As `verify` answers
---@return string[]
function M.broken_components(files)
  local names = {}
  for _, file in ipairs(files) do
    local component = file.name:match('^[^/]+')
    if file.error and not vim.list_contains(names, component) then
      names[#names + 1] = component
    end
  end
  return names
end

---Deletes a model's files.
---@param name string
---@param opts? { variant?: string }
---@param callback? lofi.Callback
function M.remove_backend(name, opts, callback)
  check.type('name', name, 'string')
  check.type('opts', opts, 'table?')
  local params = vim.tbl_extend('force', opts or {}, { backend = name, confirm = true })
  answer.ask('backend_remove', params, callback, function(result)
    return ('%s is removed, %s freed'):format(name, units.size(result.freed_bytes))
  end)
end

---Returns the backends that are being downloaded, as commands take them.
---@return string[]
function M.downloading()
  return vim.tbl_map(M.spelling, vim.tbl_keys(state.now.downloads))
end

return M
