---Words too long for the command line: a window in the corner that goes by itself. Nobody has to
---press Enter, and the cursor stays where it is.

local float = require('lofi.float')

local M = {}

local WIDTH = 76
---How long people read: a look, and a moment for each character.
local LOOK_MS, CHARACTER_MS = 4000, 50
---Above other windows, below completion menus.
local LAYER = 90

---@class lofi.notice.Part
---@field text string
---@field group? string

---Notices that are shown now, oldest first.
---@type lofi.notice.Part[][]
local notices = {}
local buffer, window ---@type integer?, integer?

---@param text string
---@param width integer
---@return string[] lines Broken between words, a word that is too long anywhere
local function wrap(text, width)
  local lines, line = {}, ''
  for word in text:gmatch('%S+') do
    while vim.fn.strdisplaywidth(word) > width do
      lines[#lines + 1] = line ~= '' and line or nil
      line = ''
      lines[#lines + 1] = vim.fn.strcharpart(word, 0, width)
      word = vim.fn.strcharpart(word, width)
    end
    local longer = line == '' and word or line .. ' ' .. word
    if vim.fn.strdisplaywidth(longer) > width then
      lines[#lines + 1] = line
      line = word
    else
      line = longer
    end
  end
  lines[#lines + 1] = line
  return lines
end

---@param width integer
---@return lofi.float.Line[]
local function lines_of(width)
  local lines = {} ---@type lofi.float.Line[]
  for _, parts in ipairs(notices) do
    for _, part in ipairs(parts) do
      for _, text in ipairs(wrap(part.text, width)) do
        lines[#lines + 1] = { text = text, group = part.group }
      end
    end
  end
  return lines
end

---@param lines lofi.float.Line[]
---@return table
local function layout(lines)
  local width = 1
  for _, line in ipairs(lines) do
    width = math.max(width, vim.fn.strdisplaywidth(line.text) + 2)
  end
  local bottom = vim.o.cmdheight + (vim.o.laststatus > 0 and 1 or 0)
  return {
    relative = 'editor',
    anchor = 'SE',
    width = width,
    height = math.max(1, math.min(#lines, vim.o.lines - bottom - 3)),
    row = vim.o.lines - bottom,
    col = vim.o.columns,
  }
end

local function close()
  if window and vim.api.nvim_win_is_valid(window) then
    vim.api.nvim_win_close(window, true)
  end
  window, buffer = nil, nil
end

---Whether the window is where the person is: one in another tab page shows nobody anything.
---@return boolean
local function is_here()
  local here = vim.api.nvim_tabpage_list_wins(0)
  return window ~= nil and vim.list_contains(here, window)
end

local function draw()
  if #notices == 0 or not is_here() then
    close()
  end
  if #notices == 0 then
    return
  end
  local lines = lines_of(math.max(10, math.min(WIDTH, vim.o.columns - 4)))
  if not buffer or not vim.api.nvim_buf_is_valid(buffer) then
    buffer = vim.api.nvim_create_buf(false, true)
    vim.bo[buffer].bufhidden = 'wipe'
  end
  float.fill(buffer, lines)
  local place = layout(lines)
  if window then
    return vim.api.nvim_win_set_config(window, place)
  end
  window = vim.api.nvim_open_win(
    buffer,
    false,
    vim.tbl_extend('force', place, {
      style = 'minimal',
      border = float.border(),
      title = ' lofi ',
      focusable = false,
      noautocmd = true,
      zindex = LAYER,
    })
  )
  vim.wo[window].winhighlight = float.HIGHLIGHTS
  vim.wo[window].wrap = false
end

---Shows a text for as long as it takes to read. Returns whether a window could be opened here.
---@param parts lofi.notice.Part[] Each begins a line
---@return boolean
function M.show(parts)
  local length = 0
  for _, part in ipairs(parts) do
    length = length + #part.text
  end
  table.insert(notices, parts)
  local function forget()
    notices = vim.tbl_filter(function(other)
      return other ~= parts
    end, notices)
  end
  if not pcall(draw) then -- the command-line window and text locks allow none
    forget()
    return false
  end
  vim.defer_fn(function()
    forget()
    pcall(draw)
  end, LOOK_MS + CHARACTER_MS * length)
  return true
end

return M
