---Jobs this editor asked for: each knows how far it is and calls back once, when it has ended.

local daemon = require('lofi.daemon')
local errors = require('lofi.errors')
local events = require('lofi.events')

local M = {}

---@class lofi.Job
---@field track_id string? nil until the daemon has acknowledged
---@field status 'requested'|'queued'|'generating'|'complete'|'error'|'cancelled'
---@field position integer?
---@field percent integer
---@field eta_sec number?
---@field phase string?
---@field message string? What a planner chose
---@field track lofi.Track?
---@field error lofi.Error?
---@field seed integer?
---@field is_quiet boolean The next track of an endless stream shows no progress
---@field private takes lofi.Track[]
---@field private left table<string, true> Track ids that have not ended
---@field private callback fun(err: lofi.Error?, track: lofi.Track?, all: lofi.Track[]?)
---@field private listeners fun(data: table)[]
---@field private opts lofi.Generate
local Job = {}
Job.__index = Job

---Jobs that have not ended, by each of their track ids.
---@type table<string, lofi.Job[]>
local running = {}

---@param job lofi.Job
local function finish(job)
  local first = job.takes[1]
  if first then
    job.status, job.track, job.percent, job.error = 'complete', first, 100, nil
  else
    job.status = job.error.code == 'GENERATION_CANCELLED' and 'cancelled' or 'error'
  end
  vim.schedule(function() -- one that raises keeps no other from hearing
    job.callback(job.error, first, first and job.takes)
  end)
end

---@param job lofi.Job
---@param track_id string
---@param err lofi.Error?
---@param track lofi.Track?
local function ended(job, track_id, err, track)
  if not job.left[track_id] then
    return
  end
  job.left[track_id] = nil
  job.error = job.error or err
  if track then
    table.insert(job.takes, track)
  end
  if next(job.left) == nil then
    finish(job)
  end
end

---@param track_id string
---@return lofi.Job[]
local function take_out(track_id)
  local jobs = running[track_id] or {}
  running[track_id] = nil
  return jobs
end

events.on('generation_start', function(data)
  for _, job in ipairs(running[data.track_id] or {}) do
    job.status, job.position = 'generating', 0
    if job.opts.on_start then
      job.opts.on_start(data)
    end
  end
end)

events.on('generation_progress', function(data)
  for _, job in ipairs(running[data.track_id] or {}) do
    job.status = 'generating'
    job.percent, job.eta_sec, job.phase = data.percent, data.eta_sec, data.phase
    job.message = data.message
    for _, listener in ipairs(job.listeners) do
      listener(data)
    end
  end
end)

events.on('generation_complete', function(data)
  for _, job in ipairs(take_out(data.track_id)) do
    daemon.request('cache_get', { track_id = data.track_id }, function(err, found)
      -- Deleted within these milliseconds: what the notification said is still true.
      ended(job, data.track_id, nil, not err and found.track or data)
    end)
  end
end)

events.on('generation_error', function(data)
  for _, job in ipairs(take_out(data.track_id)) do
    ended(job, data.track_id, errors.from_notification(data))
  end
end)

events.on('generation_cancelled', function(data)
  for _, job in ipairs(take_out(data.track_id)) do
    local err = errors.new('GENERATION_CANCELLED', 'the track was cancelled', '', data)
    ended(job, data.track_id, err)
  end
end)

events.on('daemon_exit', function()
  local lost = running
  running = {}
  local err = errors.new('DAEMON_CRASH', 'the daemon ended before the track was finished')
  for track_id, jobs in pairs(lost) do
    for _, job in ipairs(jobs) do
      ended(job, track_id, err)
    end
  end
end)

---@param job lofi.Job
---@param answer table
local function acknowledged(job, answer)
  job.track_id, job.status, job.seed = answer.track_id, answer.status, answer.seed
  job.position, job.eta_sec = answer.position, answer.eta_sec
  for _, take in ipairs(answer.tracks or { answer }) do
    job.left[take.track_id] = true
    running[take.track_id] = running[take.track_id] or {}
    table.insert(running[take.track_id], job)
  end
  events.emit('generation_queued', answer)
  if job.opts.on_queued then
    job.opts.on_queued(answer)
  end
end

---Asks for a track.
---@param params table Parameters of `generate`
---@param opts lofi.Generate Where the `on_…` functions are
---@param callback fun(err: lofi.Error?, track: lofi.Track?, all: lofi.Track[]?)
---@return lofi.Job
function M.start(params, opts, callback)
  local job = setmetatable({
    status = 'requested',
    percent = 0,
    takes = {},
    left = {},
    callback = callback,
    listeners = { opts.on_progress },
    opts = opts,
    is_quiet = false,
  }, Job)
  daemon.request('generate', params, function(err, answer)
    if err then
      job.error = err
      return finish(job)
    end
    acknowledged(job, answer)
  end)
  return job
end

---Returns the jobs that have not ended and are acknowledged.
---@return lofi.Job[]
function M.pending()
  local jobs, seen = {}, {}
  for _, list in pairs(running) do
    for _, job in ipairs(list) do
      if not seen[job] then
        seen[job] = true
        jobs[#jobs + 1] = job
      end
    end
  end
  return jobs
end

---Calls `listener(data)` at each progress message.
---@param listener fun(data: table)
function Job:on_progress(listener)
  table.insert(self.listeners, listener)
end

---@param callback? lofi.Callback
function Job:cancel(callback)
  callback = callback or function() end
  if not self.track_id then
    local err = errors.new('NOT_CANCELLABLE', 'the daemon has not acknowledged this job yet')
    return vim.schedule(function()
      callback(err)
    end)
  end
  daemon.request('cancel', { track_id = self.track_id }, callback)
end

---Waits until the job has ended; for scripts only, as it blocks. Returns the track, or nil and why.
---@param limit_ms integer
---@return lofi.Track? track
---@return lofi.Error? err
function Job:wait(limit_ms)
  local is_done = vim.wait(limit_ms, function()
    return vim.list_contains({ 'complete', 'error', 'cancelled' }, self.status)
  end, 10)
  if not is_done then
    local message = ('the track was not finished within %g s'):format(limit_ms / 1000)
    return nil, errors.new('DAEMON_TIMEOUT', message, 'Wait longer.')
  end
  return self.track, self.error
end

return M
