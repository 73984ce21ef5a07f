---The public API. Asynchronous functions take an optional last `callback(err, result)`, called
---once, on the main loop, never before the function has returned. Without one, errors are shown.

local answer = require('lofi.answer')
local check = require('lofi.check')
local config = require('lofi.config')
local daemon = require('lofi.daemon')
local events = require('lofi.events')
local generate = require('lofi.generate')
local library = require('lofi.library')
local models = require('lofi.models')
local planning = require('lofi.planning')
local player = require('lofi.player')
local state = require('lofi.state')
local ui = require('lofi.ui')
require('lofi.progress')

local M = {}

M.version = require('lofi.version')

---Takes options; starts nothing. Not needed: everything works without it.
---@param opts? lofi.Opts
function M.setup(opts)
  local changed = config.for_daemon(config.setup(opts))
  if not daemon.is_running() or next(changed) == nil then
    return
  end
  answer.ask('config_set', { config = changed }, nil, function(result)
    local keys = vim.list_extend(result.requires_reload or {}, result.requires_restart or {})
    return #keys > 0 and 'after :Lofi daemon restart: ' .. table.concat(keys, ', ') or nil
  end)
end

---Asks for a track; `callback(err, track)` comes when it is finished.
---@param opts lofi.Generate|string Parameters of |lofi-generate-parameters|, or a prompt
---@param callback? fun(err: lofi.Error?, track: lofi.Track?, all: lofi.Track[]?)
---@return lofi.Job
function M.generate(opts, callback)
  return generate.start(opts, callback)
end

---Stops making a track.
---@param track_id? string The running one when left out
---@param callback? lofi.Callback
function M.cancel(track_id, callback)
  check.type('track_id', track_id, 'string?')
  answer.ask('cancel', { track_id = track_id }, callback)
end

---Returns the queue as last heard of; with a callback asks.
---@param callback? lofi.Callback
---@return table?
function M.queue(callback)
  if not callback then
    return state.now.queue
  end
  answer.ask('queue_status', {}, callback)
end

---Cancels all jobs that wait; the running one stays.
---@param callback? lofi.Callback
function M.queue_clear(callback)
  answer.ask('queue_clear', {}, callback, function(result)
    return ('%d waiting jobs removed'):format(#result.removed)
  end)
end

---@param track_id string
---@param position integer 1 is next
---@param callback? lofi.Callback
function M.queue_move(track_id, position, callback)
  check.type('track_id', track_id, 'string')
  check.type('position', position, 'number')
  answer.ask('queue_move', { track_id = track_id, position = position }, callback)
end

---@param callback? lofi.Callback
function M.queue_pause(callback)
  answer.ask('queue_pause', {}, callback, function()
    return 'the queue waits; :Lofi queue resume goes on'
  end)
end

---@param callback? lofi.Callback
function M.queue_resume(callback)
  answer.ask('queue_resume', {}, callback, function()
    return 'the queue goes on'
  end)
end

M.play = player.play
M.pause = player.pause
M.resume = player.resume
M.toggle = player.toggle
M.stop = player.stop
M.skip = player.skip
M.previous = player.previous
M.seek = player.seek
M.volume = player.volume
M.mute = player.mute
M.devices = player.devices
M.device = player.device
M.playlist = player.playlist

M.cache = library.cache
M.track = library.track
M.cache_delete = library.cache_delete
M.cache_clear = library.cache_clear
M.cache_stats = library.cache_stats
M.cache_gc = library.cache_gc
M.favorite = library.favorite
M.rate = library.rate
M.export = library.export
M.import = library.import
M.recipe = library.recipe
M.waveform = library.waveform
M.analyze = library.analyze

M.setup_backend = models.setup_backend
M.download_cancel = models.download_cancel
M.verify = models.verify
M.remove_backend = models.remove_backend

M.inspire = planning.inspire
M.format = planning.format
M.understand = planning.understand
M.lyrics_timing = planning.lyrics_timing

---@param callback lofi.Callback
function M.get_backends(callback)
  answer.ask('get_backends', {}, callback)
end

---Chooses the default backend; without a name returns the one known.
---@param name? string
---@param callback? lofi.Callback
---@return string?
function M.backend(name, callback)
  check.type('name', name, 'string?')
  if not name then
    return state.now.default_backend
  end
  answer.ask('backend_select', { backend = name }, callback, function(result)
    return ('backend: %s %s (%s)'):format(result.backend, result.variant or '', result.status)
  end)
end

---Asks for the styles there are, the user's own included.
---@param callback lofi.Callback
function M.presets(callback)
  answer.ask('presets_list', {}, callback)
end

---Asks how long a request would take.
---@param opts lofi.Generate
---@param callback lofi.Callback
function M.estimate(opts, callback)
  answer.ask('estimate', opts, callback)
end

---Reads or sets the daemon's configuration. With neither key nor value asks for all of it.
---@param key? string Dotted
---@param value? any
---@param callback? lofi.Callback
function M.config(key, value, callback)
  check.type('key', key, 'string?')
  if value == nil then
    return answer.ask('config_get', { keys = key and { key } }, callback)
  end
  answer.ask('config_set', { key = key, value = value }, callback)
end

---Returns the last known status; with a callback asks.
---@param callback? lofi.Callback
---@return table?
function M.status(callback)
  if callback then
    return answer.ask('status', {}, callback)
  end
  local known = vim.tbl_extend('force', {}, state.now.status or {})
  known.playback = vim.tbl_extend('force', {}, state.now.playback, {
    position_sec = state.position_sec(),
  })
  known.generation = state.generating()
  return known
end

---@param opts? { kind?: string, limit?: integer, before?: string }
---@param callback lofi.Callback
function M.history(opts, callback)
  answer.ask('history_list', opts or {}, callback)
end

---@param opts? { query?: string, limit?: integer }
---@param callback lofi.Callback
function M.prompts(opts, callback)
  answer.ask('prompt_history', opts or {}, callback)
end

---@param opts? { deep?: boolean }
---@param callback lofi.Callback
function M.doctor(opts, callback)
  answer.ask('doctor', opts or {}, callback)
end

---@param opts? { lines?: integer, level?: string }
---@param callback lofi.Callback
function M.logs(opts, callback)
  answer.ask('logs_tail', opts or {}, callback)
end

---@return boolean
function M.is_playing()
  return state.now.playback.state == 'playing'
end

---@return boolean
function M.is_paused()
  return state.now.playback.state == 'paused'
end

---@return boolean
function M.is_generating()
  return state.generating() ~= nil
end

---Returns the id of the track that is loaded in the player.
---@return string?
function M.current_track()
  return state.now.playback.track_id
end

---Returns the id of the track that is being made.
---@return string?
function M.generating_track()
  local generation = state.generating()
  return generation and generation.track_id
end

---@return boolean
function M.is_daemon_running()
  return daemon.is_running()
end

---Returns what happens now in a few characters, or nil.
---@param opts? lofi.StatuslineOpts
---@return string?
function M.statusline(opts)
  return ui.statusline(opts)
end

M.on = events.on
M.once = events.once
M.off = events.off

---Asks the daemon anything.
---@param method string
---@param params? table
---@param callback? lofi.Callback
function M.request(method, params, callback)
  check.type('method', method, 'string')
  answer.ask(method, params, callback)
end

return M
