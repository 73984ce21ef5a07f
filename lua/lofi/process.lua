---A child process with pipes. Its callbacks cross over to the main loop here, and nowhere else.

local M = {}

local KILL_AFTER_MS = 1000
---How long output may still come after the exit; a grandchild can hold a pipe open for ever.
local DRAIN_LIMIT_MS = 200

---@class lofi.process.Options
---@field cmd string[]
---@field env table<string, string> On top of the inherited environment
---@field on_stdout fun(chunk: string)
---@field on_stderr fun(chunk: string)
---@field on_exit fun(code: integer, signal: integer) Once, after the last output

---@class lofi.Process
---@field pid integer
---@field private handle uv.uv_process_t
---@field private stdin uv.uv_pipe_t
local Process = {}
Process.__index = Process

---@param extra table<string, string>
---@return string[]
local function environment(extra)
  local all = vim.tbl_extend('force', vim.fn.environ(), { NVIM = vim.v.servername }, extra)
  local list = {}
  for name, value in pairs(all) do
    list[#list + 1] = name .. '=' .. value
  end
  return list
end

---Starts a process. Returns nil and the reason when it cannot be started.
---@param options lofi.process.Options
---@return lofi.Process? process
---@return string? reason
function M.spawn(options)
  local stdin = assert(vim.uv.new_pipe(false))
  local pipes = { assert(vim.uv.new_pipe(false)), assert(vim.uv.new_pipe(false)) }
  local open, status = 2, nil ---@type integer, { code: integer, signal: integer }?
  local on_exit = vim.schedule_wrap(options.on_exit)

  local function finish()
    if status and not status.told then
      status.told = true
      on_exit(status.code, status.signal)
    end
  end

  local handle, pid
  handle, pid = vim.uv.spawn(options.cmd[1], {
    args = vim.list_slice(options.cmd, 2),
    stdio = { stdin, pipes[1], pipes[2] },
    env = environment(options.env),
    hide = true,
  }, function(code, signal)
    handle:close()
    status = { code = code, signal = signal }
    if not stdin:is_closing() then
      stdin:close()
    end
    if open == 0 then
      return finish()
    end
    local timer = assert(vim.uv.new_timer())
    timer:start(DRAIN_LIMIT_MS, 0, function()
      timer:close()
      for _, pipe in ipairs(pipes) do
        if not pipe:is_closing() then
          pipe:close()
        end
      end
      finish()
    end)
  end)
  if not handle then
    stdin:close()
    pipes[1]:close()
    pipes[2]:close()
    return nil, pid --[[@as string]]
  end

  for index, on_data in ipairs({ options.on_stdout, options.on_stderr }) do
    local scheduled = vim.schedule_wrap(on_data)
    pipes[index]:read_start(function(_, chunk)
      if chunk then
        return scheduled(chunk)
      end
      pipes[index]:close()
      open = open - 1
      if open == 0 then
        finish()
      end
    end)
  end
  return setmetatable({ pid = pid, handle = handle, stdin = stdin }, Process)
end

---Writes to the child; a child that is gone is told about by `on_exit`, not here.
---@param data string
function Process:write(data)
  if not self.stdin:is_closing() then
    self.stdin:write(data)
  end
end

---Ends the child kindly: its stdin ends. What was written before still arrives.
function Process:close_stdin()
  if self.stdin:is_closing() then
    return
  end
  local stdin = self.stdin
  stdin:shutdown(function()
    if not stdin:is_closing() then
      stdin:close()
    end
  end)
end

---Ends the child kindly, then firmly: end of input, SIGTERM after 1 s, SIGKILL after 2 s.
function Process:stop()
  self:close_stdin()
  local timer, signals = assert(vim.uv.new_timer()), { 'sigterm', 'sigkill' }
  timer:start(KILL_AFTER_MS, KILL_AFTER_MS, function()
    local signal = table.remove(signals, 1)
    if self.handle:is_closing() or not signal then
      return timer:close()
    end
    self.handle:kill(signal)
  end)
end

return M
