---From what a person asks for to a request: presets, the default prompt, absolute paths.

local answer = require('lofi.answer')
local check = require('lofi.check')
local config = require('lofi.config')
local daemon = require('lofi.daemon')
local errors = require('lofi.errors')
local job = require('lofi.job')
local nearest = require('lofi.nearest')
local options = require('lofi.options')
local state = require('lofi.state')
local ui = require('lofi.ui')
local units = require('lofi.units')

local M = {}

---What the plugin understands in `opts` and the daemon does not.
local OWN = { preset = true, on_queued = true, on_start = true, on_progress = true }
---Warnings that are news once, not with every track.
local ONCE = { NO_NEURAL_BACKEND = true }
local told = {} ---@type table<string, true>

---@param name string
---@return string
local function folded(name)
  return (name:lower():gsub('[%s_]', '-'))
end

---Returns the request a preset of this name stands for, nil when nobody knows it.
---@param name string
---@return table?
local function preset_of(name)
  for known, value in pairs(config.free('presets')) do
    if folded(known) == folded(name) then
      return type(value) == 'string' and { prompt = value } or value
    end
  end
  for _, preset in ipairs(state.now.presets) do
    if folded(preset.name) == folded(name) then
      return preset.request or { prompt = preset.prompt, bpm = preset.bpm }
    end
  end
end

---Returns the names of all presets known, as `@name` is typed.
---@return string[]
function M.preset_names()
  local names = {} ---@type table<string, true>
  for name in pairs(config.free('presets')) do
    names[folded(name)] = true
  end
  for _, preset in ipairs(state.now.presets) do
    names[folded(preset.name)] = true
  end
  local list = vim.tbl_keys(names)
  table.sort(list)
  return list
end

---@param opts lofi.Generate
---@return table params
local function params_of(opts)
  local params = {}
  for name, value in pairs(opts) do
    if not OWN[name] then
      params[name] = value
    end
  end
  for _, name in ipairs({ 'source', 'reference' }) do
    local value = params[name]
    if type(value) == 'table' and value.path then
      params[name] = { path = answer.absolute(value.path) }
    end
  end
  -- what is made of a source is described by it, if not by a person
  local is_new = (params.task or 'text2music') == 'text2music'
  if is_new and not params.prompt and not (params.lyrics and params.thinking) then
    params.prompt = config.free('defaults').prompt or options.DEFAULT_PROMPT
  end
  return params
end

---Shows what the daemon thought worth saying about a request.
---@param warnings { code: string, message: string }[]?
local function tell(warnings)
  for _, warning in ipairs(warnings or {}) do
    if not told[warning.code] then
      told[warning.code] = ONCE[warning.code]
      ui.notify(warning.message, vim.log.levels.WARN)
    end
  end
end

---Asks for a track.
---@param opts lofi.Generate|string A prompt, or parameters
---@param callback? fun(err: lofi.Error?, track: lofi.Track?, all: lofi.Track[]?)
---@return lofi.Job
function M.start(opts, callback)
  check.type('opts', opts, { 'table', 'string' })
  check.type('callback', callback, 'function?')
  opts = type(opts) == 'string' and { prompt = opts } or opts --[[@as lofi.Generate]]
  local speak = answer.to(callback, function(track)
    return ('ready: %s (%s)'):format(track.title or track.track_id, units.clock(track.duration_sec))
  end)
  local function done(err, track, all)
    if err and err.code == 'GENERATION_CANCELLED' and not callback then
      return ui.notify('cancelled')
    end
    speak(err, track, all)
  end
  local on_queued = opts.on_queued
  opts = vim.tbl_extend('force', opts, {
    on_queued = function(result)
      tell(result.warnings)
      if on_queued then
        on_queued(result)
      end
    end,
  })
  return job.start(params_of(opts), opts, done)
end

---Asks for a track by the name of a preset; what `opts` says goes before what the preset says.
---@param name string
---@param opts lofi.Generate
---@param callback? fun(err: lofi.Error?, track: lofi.Track?, all: lofi.Track[]?)
function M.start_preset(name, opts, callback)
  local function go(err)
    local preset = not err and preset_of(name)
    if preset then
      local prompt = opts.prompt and preset.prompt and preset.prompt .. ', ' .. opts.prompt
      M.start(vim.tbl_extend('force', preset, opts, { prompt = prompt or opts.prompt }), callback)
      return
    end
    local question = nearest.question(name, M.preset_names(), 2)
    question = question ~= '' and question or ':Lofi generate @<Tab> lists what there is.'
    local unknown = errors.new('INVALID_PARAMS', ('there is no preset @%s'):format(name), question)
    answer.to(callback)(err or unknown)
  end
  if preset_of(name) then
    return go()
  end
  daemon.request('presets_list', {}, go)
end

return M
