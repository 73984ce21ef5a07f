---The daemon's log in a split that follows it while it is shown.

local answer = require('lofi.answer')
local daemon = require('lofi.daemon')
local log = require('lofi.log')

local M = {}

local LINES = 500
local EVERY_MS = 1000
local NAME = 'lofi://log'

---@param buffer integer
---@param lines string[]
local function fill(buffer, lines)
  local windows = vim.fn.win_findbuf(buffer)
  local last = vim.api.nvim_buf_line_count(buffer)
  local following = vim.tbl_filter(function(window)
    return vim.api.nvim_win_get_cursor(window)[1] >= last
  end, windows)
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, lines)
  vim.bo[buffer].modifiable = false
  for _, window in ipairs(following) do
    vim.api.nvim_win_set_cursor(window, { #lines, 0 })
  end
end

---@param result { lines: table[], path: string }
---@return string[]
local function text_of(result)
  local lines = { ('# daemon: %s'):format(result.path or 'no file'), '# plugin: ' .. log.path() }
  for _, line in ipairs(result.lines) do
    local text = ('%s %-5s %s: %s'):format(line.time, line.level, line.logger, line.message)
    vim.list_extend(lines, vim.split(text, '\n'))
  end
  if #result.lines == 0 then
    lines[#lines + 1] = '# nothing was logged at this level; :Lofi log debug shows most'
  end
  return lines
end

---@param buffer integer
---@param level? string
local function refresh(buffer, level)
  answer.ask('logs_tail', { lines = LINES, level = level }, function(err, result)
    if vim.api.nvim_buf_is_valid(buffer) then
      fill(buffer, err and { '# ' .. err.message, '# plugin: ' .. log.path() } or text_of(result))
    end
  end)
end

---Opens the log; lines below `level` are left out.
---@param level? string
function M.open(level)
  local old = vim.fn.bufnr(NAME)
  if old ~= -1 then
    vim.api.nvim_buf_delete(old, { force = true })
  end
  vim.cmd('botright 12new')
  local buffer = vim.api.nvim_get_current_buf()
  vim.api.nvim_buf_set_name(buffer, NAME)
  vim.bo[buffer].buftype = 'nofile'
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].swapfile = false
  vim.bo[buffer].filetype = 'lofi-log'
  refresh(buffer, level)
  local timer = assert(vim.uv.new_timer())
  timer:start(
    EVERY_MS,
    EVERY_MS,
    vim.schedule_wrap(function()
      if daemon.is_running() and vim.api.nvim_buf_is_valid(buffer) then
        refresh(buffer, level)
      end
    end)
  )
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = buffer,
    callback = function()
      timer:close()
    end,
  })
end

return M
