---The planner's part of the public API: ideas, descriptions and sounds to requests. An operation
---takes as long as the model thinks; it shows its progress and can be stopped.

local answer = require('lofi.answer')
local check = require('lofi.check')
local daemon = require('lofi.daemon')
local errors = require('lofi.errors')
local events = require('lofi.events')
local progress = require('lofi.progress')

local M = {}

---@class lofi.Operation One request to the planner
---@field method string
---@field private ticket lofi.daemon.Ticket
local Operation = {}
Operation.__index = Operation

---What we asked for and was not answered yet, oldest first.
---@type lofi.Operation[]
local running = {}

local WORDS = {
  lm_inspire = 'planning',
  lm_format = 'rewriting',
  lm_understand = 'listening',
  lyrics_timing = 'timing the lyrics',
}

events.on('operation_progress', function(data)
  for _, operation in ipairs(running) do
    if operation.ticket.id == data.request_id and operation.method == data.method then
      local far = data.message ~= '' and ', ' .. data.message or (' %d%%'):format(data.percent)
      progress.say(WORDS[data.method] .. far, data.percent)
    end
  end
end)

---@param method string
---@param params table
---@param callback? lofi.Callback
---@return lofi.Operation
local function operate(method, params, callback)
  check.type('callback', callback, 'function?')
  local operation = setmetatable({ method = method }, Operation)
  local give = answer.to(callback)
  table.insert(running, operation)
  operation.ticket = daemon.request(method, params, function(err, result)
    running = vim.tbl_filter(function(other)
      return other ~= operation
    end, running)
    progress.done(not err)
    give(err, result)
  end)
  return operation
end

---Stops it; its own callback gets `GENERATION_CANCELLED`.
---@param callback? lofi.Callback
function Operation:cancel(callback)
  callback = callback or function() end
  if self.ticket.id then
    daemon.request('cancel', { request_id = self.ticket.id }, callback)
    return
  end
  vim.schedule(function()
    callback(errors.new('NOT_CANCELLABLE', 'the daemon has not got this request yet'))
  end)
end

---Returns the newest operation that has not ended.
---@return lofi.Operation?
function M.current()
  return running[#running]
end

---Asks for a song from an idea.
---@param query string
---@param opts? table Parameters of `lm_inspire`
---@param callback? fun(err: lofi.Error?, plan: lofi.Plan?)
---@return lofi.Operation
function M.inspire(query, opts, callback)
  check.type('query', query, 'string')
  check.type('opts', opts, 'table?')
  return operate('lm_inspire', vim.tbl_extend('force', opts or {}, { query = query }), callback)
end

---Asks for a prompt and lyrics put into the model's own form; what is given stays.
---@param opts table Parameters of `lm_format`; `prompt` is needed
---@param callback? fun(err: lofi.Error?, plan: lofi.Plan?)
---@return lofi.Operation
function M.format(opts, callback)
  check.type('opts', opts, 'table')
  return operate('lm_format', opts, callback)
end

---Asks what a piece of audio is.
---@param source string|table A track id or a path, or parameters of `lm_understand`
---@param callback? fun(err: lofi.Error?, plan: lofi.Plan?)
---@return lofi.Operation
function M.understand(source, callback)
  check.type('source', source, { 'string', 'table' })
  if type(source) == 'table' then
    return operate('lm_understand', source, callback)
  end
  local path = answer.absolute(source)
  local named = vim.uv.fs_stat(path) and { path = path } or source
  return operate('lm_understand', { source = named }, callback)
end

---Asks when each line of a track is sung: `{ lrc, lines, confidence }`.
---@param track_id? string The current track when left out, else the newest
---@param callback? lofi.Callback
function M.lyrics_timing(track_id, callback)
  check.type('track_id', track_id, 'string?')
  answer.with_track(track_id, callback, function(id)
    operate('lyrics_timing', { track_id = id }, callback)
  end)
end

return M
