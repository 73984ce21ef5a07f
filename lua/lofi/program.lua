---A program run to its end. Only within a coroutine, which waits meanwhile; the editor does not.

local log = require('lofi.log')
local process = require('lofi.process')

local M = {}

---@class lofi.program.Run
---@field code integer
---@field output string stdout and stderr together

---@param cmd string[]
---@param on_line? fun(line: string)
---@return lofi.program.Run
function M.run(cmd, on_line)
  local thread, output = coroutine.running(), {}
  local function take(chunk)
    output[#output + 1] = chunk
    for _, line in ipairs(on_line and vim.split(chunk, '[\r\n]+', { trimempty = true }) or {}) do
      on_line(line)
    end
  end
  log.write('info', 'setup: %s', table.concat(cmd, ' '))
  local child, reason = process.spawn({
    cmd = cmd,
    -- C: the messages are searched for words.
    env = { LC_ALL = 'C.UTF-8', PYTHONSAFEPATH = '1', PYTHONUNBUFFERED = '1' },
    on_stdout = take,
    on_stderr = take,
    on_exit = function(code, signal)
      coroutine.resume(thread, signal ~= 0 and 128 + signal or code)
    end,
  })
  if not child then
    return { code = 127, output = reason or '' }
  end
  child:close_stdin()
  local code = coroutine.yield()
  local text = table.concat(output)
  log.write(code == 0 and 'debug' or 'error', 'setup: status %d: %s', code, text)
  return { code = code, output = text }
end

---Whether one of these patterns is in what a program said.
---@param text string
---@param patterns string[]
---@return boolean
function M.says(text, patterns)
  return vim.iter(patterns):any(function(pattern)
    return text:find(pattern) ~= nil
  end)
end

return M
