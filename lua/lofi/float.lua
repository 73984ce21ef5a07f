---A window of lines in the middle of the editor, drawn anew while it is open. What its keys do is
---written below it.

local config = require('lofi.config')
local units = require('lofi.units')

local M = {}

---@class lofi.float.Options
---@field title string
---@field draw fun(): lofi.float.Line[] What stands in it now
---@field every_ms? integer Draw anew that often
---@field keys? lofi.float.Key[] Besides `q` and `<Esc>`, which close it

---@class lofi.float.Key
---@field key string As |vim.keymap.set()| takes it
---@field text string What it does, in a word or two
---@field act fun(line: lofi.float.Line?) Gets the line under the cursor
---@field stays? boolean Whatever the line; else only one with a value, and the window closes first

---@class lofi.float.Line
---@field text string
---@field group? string Highlight group of the whole line
---@field spans? { first: integer, last: integer, group: string }[] Parts of it, in bytes from 0
---@field value? any What a key on it means

---@class lofi.Float
---@field window integer
---@field buffer integer
---@field private options lofi.float.Options
---@field private lines lofi.float.Line[]
---@field private footer string
local Float = {}
Float.__index = Float

local NAMESPACE = vim.api.nvim_create_namespace('lofi.float')
M.HIGHLIGHTS = 'Normal:LofiNormal,FloatBorder:LofiBorder,FloatTitle:LofiTitle,FloatFooter:LofiDim'

---Returns the border of our windows.
---@return any
function M.border()
  local wanted = config.get('ui.border')
  if wanted then
    return wanted
  end
  local has_option, default = pcall(function()
    return vim.o.winborder
  end)
  return has_option and default ~= '' and default or 'rounded'
end

---Fills a buffer; every line stands one cell from the border.
---@param buffer integer
---@param lines lofi.float.Line[]
function M.fill(buffer, lines)
  local texts = vim.tbl_map(function(line)
    return ' ' .. units.line(line.text)
  end, lines)
  vim.bo[buffer].modifiable = true
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, texts)
  vim.bo[buffer].modifiable = false
  vim.api.nvim_buf_clear_namespace(buffer, NAMESPACE, 0, -1)
  for row, line in ipairs(lines) do
    if line.group then
      vim.api.nvim_buf_set_extmark(buffer, NAMESPACE, row - 1, 0, {
        end_row = row,
        hl_group = line.group,
      })
    end
    for _, span in ipairs(line.spans or {}) do
      vim.api.nvim_buf_set_extmark(buffer, NAMESPACE, row - 1, span.first + 1, {
        end_col = math.min(span.last + 1, #texts[row]),
        hl_group = span.group,
        priority = 200, -- above the line's own
      })
    end
  end
end

---@param keys lofi.float.Key[]
---@return string
local function footer_of(keys)
  local words = vim.tbl_map(function(key)
    return key.key .. ' ' .. key.text
  end, keys)
  words[#words + 1] = 'q close'
  return (' %s '):format(table.concat(words, ' · '))
end

---@private
---@return table
function Float:layout()
  local width = math.max(#self.options.title + 4, vim.fn.strdisplaywidth(self.footer) + 2)
  for _, line in ipairs(self.lines) do
    width = math.max(width, vim.fn.strdisplaywidth(units.line(line.text)) + 2)
  end
  width = math.max(1, math.min(width, vim.o.columns - 4))
  local height = math.max(1, math.min(#self.lines, vim.o.lines - 6))
  return {
    relative = 'editor',
    width = width,
    height = height,
    row = math.max(0, math.floor((vim.o.lines - height) / 2) - 1),
    col = math.max(0, math.floor((vim.o.columns - width) / 2)),
  }
end

---Draws it anew, at the size that fits now.
function Float:redraw()
  if vim.api.nvim_buf_is_valid(self.buffer) and vim.api.nvim_win_is_valid(self.window) then
    self.lines = self.options.draw()
    M.fill(self.buffer, self.lines)
    vim.api.nvim_win_set_config(self.window, self:layout())
  end
end

function Float:close()
  if vim.api.nvim_win_is_valid(self.window) then
    vim.api.nvim_win_close(self.window, true)
  end
end

---@private
---@param key lofi.float.Key
function Float:press(key)
  local line = self.lines[vim.api.nvim_win_get_cursor(self.window)[1]]
  if key.stays then
    key.act(line)
    self:redraw()
  elseif line and line.value ~= nil then
    self:close()
    key.act(line)
  end
end

---@private
function Float:map_keys()
  local function map(key, act, text)
    vim.keymap.set('n', key, act, { buffer = self.buffer, nowait = true, desc = text })
  end
  for _, key in ipairs({ 'q', '<Esc>' }) do
    map(key, function()
      self:close()
    end, 'close')
  end
  for _, key in ipairs(self.options.keys or {}) do
    map(key.key, function()
      self:press(key)
    end, key.text)
  end
end

---Keeps it drawn until it is closed: as often as asked, and when the editor's size changes.
---@private
function Float:watch()
  local timer = assert(vim.uv.new_timer())
  local redraw = vim.schedule_wrap(function()
    self:redraw()
  end)
  if self.options.every_ms then
    timer:start(self.options.every_ms, self.options.every_ms, redraw)
  end
  local resized = vim.api.nvim_create_autocmd('VimResized', { callback = redraw })
  vim.api.nvim_create_autocmd('BufWipeout', {
    buffer = self.buffer,
    once = true,
    callback = function()
      timer:close()
      vim.api.nvim_del_autocmd(resized)
    end,
  })
end

---Opens a window that shows what `draw` returns.
---@param options lofi.float.Options
---@return lofi.Float
function M.open(options)
  local buffer = vim.api.nvim_create_buf(false, true)
  local keys = options.keys or {}
  local self = setmetatable({
    buffer = buffer,
    options = options,
    lines = options.draw(),
    footer = footer_of(keys),
  }, Float)
  vim.bo[buffer].bufhidden = 'wipe'
  vim.bo[buffer].filetype = 'lofi-float'
  M.fill(buffer, self.lines)
  self.window = vim.api.nvim_open_win(
    buffer,
    true,
    vim.tbl_extend('force', self:layout(), {
      style = 'minimal',
      border = M.border(),
      title = (' %s '):format(options.title),
      title_pos = 'center',
      footer = self.footer,
      footer_pos = 'center',
    })
  )
  vim.wo[self.window].winhighlight = M.HIGHLIGHTS
  vim.wo[self.window].cursorline = #keys > 0
  vim.wo[self.window].wrap = false
  self:map_keys()
  self:watch()
  return self
end

---Opens a window of lines that stay as they are.
---@param title string
---@param lines lofi.float.Line[]
---@return lofi.Float
function M.show(title, lines)
  return M.open({
    title = title,
    draw = function()
      return lines
    end,
  })
end

return M
