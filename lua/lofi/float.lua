---A small window of lines in the middle of the editor, drawn anew while it is open.

local config = require('lofi.config')

local M = {}

---@class lofi.float.Options
---@field title string
---@field draw fun(): lofi.float.Line[] What stands in it now
---@field every_ms? integer Draw anew that often
---@field on_enter? fun(line: lofi.float.Line)
---@field keys? table<string, fun(line: lofi.float.Line)> Other keys that close it and act

---@class lofi.float.Line
---@field text string
---@field group? string Highlight group of the whole line
---@field value? any What `<CR>` on it means

local NAMESPACE = vim.api.nvim_create_namespace('lofi.float')

---@return any border
local function border()
  local wanted = config.get('ui.border')
  if wanted then
    return wanted
  end
  local has_option, default = pcall(function()
    return vim.o.winborder
  end)
  return has_option and default ~= '' and default or 'rounded'
end

---Returns a text in one line, without what no line can hold: a model's words may be anything.
---@param text string
---@return string
local function shown(text)
  return (text:gsub('%s*\n%s*', ' '):gsub('%c', ' '))
end

---@param buffer integer
---@param lines lofi.float.Line[]
local function fill(buffer, lines)
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(
    buffer,
    0,
    -1,
    false,
    vim.tbl_map(function(line)
      return ' ' .. shown(line.text)
    end, lines)
  )
  vim.bo[buffer].modifiable = false
  vim.api.nvim_buf_clear_namespace(buffer, NAMESPACE, 0, -1)
  for row, line in ipairs(lines) do
    if line.group then
      vim.api.nvim_buf_set_extmark(buffer, NAMESPACE, row - 1, 0, {
        end_row = row,
        hl_group = line.group,
      })
    end
  end
end

---@param lines lofi.float.Line[]
---@param title string
---@return table
local function layout(lines, title)
  local width = #title + 4
  for _, line in ipairs(lines) do
    width = math.max(width, vim.fn.strdisplaywidth(shown(line.text)) + 2)
  end
  width = math.max(1, math.min(width, vim.o.columns - 4))
  local height = math.max(1, math.min(#lines, vim.o.lines - 6))
  return {
    relative = 'editor',
    width = width,
    height = height,
    row = math.max(0, math.floor((vim.o.lines - height) / 2) - 1),
    col = math.max(0, math.floor((vim.o.columns - width) / 2)),
  }
end

---Opens a window that shows what `draw` returns; `q` and `<Esc>` close it.
---@param options lofi.float.Options
---@return integer window
function M.open(options)
  local lines = options.draw()
  local buffer = vim.api.nvim_create_buf(false, true)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].filetype = 'lofi-float'
  fill(buffer, lines)
  local window = vim.api.nvim_open_win(
    buffer,
    true,
    vim.tbl_extend('force', layout(lines, options.title), {
      style = 'minimal',
      border = border(),
      title = (' %s '):format(options.title),
      title_pos = 'center',
    })
  )
  vim.wo[window].winhighlight = 'Normal:LofiNormal,FloatBorder:LofiBorder,FloatTitle:LofiTitle'
  vim.wo[window].cursorline = options.on_enter ~= nil
  vim.wo[window].wrap = false

  local timer = options.every_ms and assert(vim.uv.new_timer())
  local function close()
    if vim.api.nvim_win_is_valid(window) then
      vim.api.nvim_win_close(window, true)
    end
  end
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = buffer,
    callback = function()
      if timer and not timer:is_closing() then
        timer:close()
      end
    end,
  })
  for _, key in ipairs({ 'q', '<Esc>' }) do
    vim.keymap.set('n', key, close, { buffer = buffer, nowait = true, desc = 'close' })
  end
  local actions = vim.tbl_extend('force', { ['<CR>'] = options.on_enter }, options.keys or {})
  for key, act in pairs(actions) do
    vim.keymap.set('n', key, function()
      local line = lines[vim.api.nvim_win_get_cursor(window)[1]]
      if line and line.value ~= nil then
        close()
        act(line)
      end
    end, { buffer = buffer, nowait = true, desc = 'choose' })
  end
  if timer then
    timer:start(
      options.every_ms,
      options.every_ms,
      vim.schedule_wrap(function()
        if vim.api.nvim_buf_is_valid(buffer) and vim.api.nvim_win_is_valid(window) then
          lines = options.draw()
          fill(buffer, lines)
          vim.api.nvim_win_set_config(window, layout(lines, options.title))
        end
      end)
    )
  end
  return window
end

return M
