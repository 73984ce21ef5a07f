---Making the Python environment as the person sees it: the question, the progress, the end.

local environment = require('lofi.environment')
local errors = require('lofi.errors')
local events = require('lofi.events')
local launch = require('lofi.launch')
local picker = require('lofi.picker')
local progress = require('lofi.progress')
local ui = require('lofi.ui')
local units = require('lofi.units')

local M = {}

---@return string
function M.question()
  local text = 'Make a private Python environment for lofi (about %d MB)?\nIt goes into %s.'
  return text:format(environment.SIZE_MB, vim.fn.fnamemodify(launch.venv(), ':~'))
end

---@param build lofi.TorchBuild
---@return string
local function neural_question(build)
  local lines = {
    ('Models need %s, transformers and a few more packages.'):format(build.name),
    ('why      %s'):format(build.reason),
    ('from     %s'):format(build.index or 'the ordinary package index'),
    ('to       %s (about %s)'):format(launch.venv(), units.size(build.size_mb * 1e6)),
    'Install them?',
  }
  return table.concat(lines, '\n')
end

---Who waits for the environment that is being made; nil while none is.
---@type { ready: fun(), failed: fun(err: lofi.Error) }[]?
local joined

---Whether the environment is being made.
---@return boolean
function M.is_running()
  return joined ~= nil
end

---@param err lofi.Error?
local function ended(err)
  local waiting = joined or {}
  joined = nil
  progress.done(not err)
  if not err then
    ui.notify('Python is ready: ' .. vim.fn.fnamemodify(launch.venv(), ':~'))
  end
  for _, one in ipairs(waiting) do
    events.call(err and one.failed or one.ready, err)
  end
end

---Makes the environment while the person goes on typing, or waits for the one being made.
---@param callback? fun() When it is ready
---@param torch? lofi.TorchBuild With it the packages of the neural models come too
---@param failed? fun(err: lofi.Error) In place of showing what went wrong
function M.start(callback, torch, failed)
  local one = { ready = callback or function() end, failed = failed or ui.error }
  if joined then
    ui.notify('Python is being set up; this goes on when it is ready')
    local again = { ready = one.ready, failed = one.failed }
    if torch then
      again.ready = function()
        M.start(callback, torch, failed)
      end
    end
    return table.insert(joined, again)
  end
  joined = { one }
  environment.install({
    torch = torch,
    on_progress = progress.say,
    on_note = function(text)
      ui.notify(text, vim.log.levels.WARN)
    end,
  }, ended)
end

---Makes sure that the Python which runs the daemon can run neural models: asks, shows which
---PyTorch and why, installs. A no ends it without a word.
---@param is_yes boolean Answers for the person
---@param callback fun(err: lofi.Error?)
function M.prepare(is_yes, callback)
  local found = launch.find()
  if found and not found.python then
    return callback() -- a command of the person's own; what runs there is not ours to look into
  end
  local python = found and found.python
  environment.look(python, function(build, missing)
    if not build then
      return callback()
    elseif python and python ~= launch.python_of(launch.venv()) then
      local message = ('%s (%s) lacks %s'):format(python, found.source, table.concat(missing, ', '))
      local packages = table.concat(environment.dependencies('neural'), "' '")
      local hint = ("Run: %s -m pip install '%s'"):format(python, packages)
      return callback(errors.new('DEPENDENCY_MISSING', message, hint))
    end
    picker.confirm(neural_question(build), is_yes, function()
      ui.notify(('%s: %s'):format(build.name, build.reason))
      M.start(callback, build, callback)
    end)
  end)
end

---Nobody is there to ask or to wait: works until done, says so on the terminal, and ends the
---editor with a status that scripts can read when it fails.
function M.run_headless()
  local ok, message = pcall(environment.build)
  M.report(ok, ok and 'lofi: Python is ready: ' .. launch.venv() or message)
end

---Says on the terminal how work without a person ended; a failure ends the editor with status 1.
---@param is_success boolean
---@param text string
function M.report(is_success, text)
  io.stdout:write(text .. '\n')
  io.stdout:flush()
  if not is_success then
    vim.cmd('cquit 1')
  end
end

return M
