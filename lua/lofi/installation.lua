---Making the Python environment as the person sees it: the question, the progress, the end.

local environment = require('lofi.environment')
local launch = require('lofi.launch')
local progress = require('lofi.progress')
local ui = require('lofi.ui')

local M = {}

---@return string
function M.question()
  local text = 'Make a private Python environment for lofi (about %d MB in %s)?'
  return text:format(environment.SIZE_MB, launch.venv())
end

---Makes the environment while the person goes on typing.
---@param callback? fun() When it is ready
function M.start(callback)
  environment.install({ on_progress = progress.say }, function(err)
    progress.done(not err)
    if err then
      return ui.error(err)
    end
    ui.notify('Python is ready: ' .. launch.venv())
    if callback then
      callback()
    end
  end)
end

---Nobody is there to ask or to wait: works until done, says so on the terminal, and ends the
---editor with a status that scripts can read when it fails.
function M.run_headless()
  local ok, message = pcall(environment.build)
  io.stdout:write((ok and 'lofi: Python is ready: ' .. launch.venv() or message) .. '\n')
  io.stdout:flush()
  if not ok then
    vim.cmd('cquit 1')
  end
end

return M
