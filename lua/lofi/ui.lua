---What is said to the person: notices, errors with their hints. Nothing said here makes anybody
---press Enter.

local config = require('lofi.config')
local events = require('lofi.events')
local notice = require('lofi.notice')
local statusline = require('lofi.statusline')
local units = require('lofi.units')

local M = {}

M.statusline = statusline.text

---How long what was said stays before progress may take its place.
local SAID_MS = 3000
---How soon to look again whether the command line is free.
local AGAIN_MS = 200
local said_at_ms = -math.huge
---What stands on the command line since then.
local said = ''
---The same words again so soon are one piece of news: ten requests that fail of one cause.
local ECHO_MS = 1000
local last_words = ''
local last_at_ms = -math.huge

---Whether somebody replaced `vim.notify` by a notifier.
---@return boolean
function M.has_notifier()
  local source = debug.getinfo(vim.notify, 'S').source
  -- Neovim's own: some builds strip the names of built-in files to a question mark.
  return not (source:find('vim/_?[%w_/]*editor%.lua$') or source:find('^=?%?$'))
end

---Whether a UI draws messages itself, or the terminal of an editor without a window gets them.
---@return boolean
local function are_drawn_elsewhere()
  local uis = vim.api.nvim_list_uis()
  return #uis == 0 or vim.iter(uis):any(function(attached)
    return attached.ext_messages
  end)
end

---Whether the person types on the command line or answers a prompt there.
---@return boolean
function M.is_command_line_busy()
  return vim.api.nvim_get_mode().mode:find('^[cr]') ~= nil
end

---Runs `what` now, or when the person is back in Normal mode: no window opens under their hands.
---@param what fun()
---@param waiting string Said once when it has to wait
function M.when_free(what, waiting)
  local mode = vim.api.nvim_get_mode().mode
  local is_free = (mode == 'n' or mode == 'nt') and vim.fn.getcmdwintype() == ''
  if is_free or #vim.api.nvim_list_uis() == 0 then
    return what()
  end
  if waiting ~= '' then
    M.notify(waiting)
  end
  vim.defer_fn(function()
    M.when_free(what, '')
  end, AGAIN_MS)
end

---Whether a passing line, such as progress, may be shown now: nobody types there, and what was
---said last had its time.
---@return boolean
function M.is_line_free()
  return not M.is_command_line_busy() and vim.uv.hrtime() / 1e6 - said_at_ms >= SAID_MS
end

---Takes a passing line away. What was said a moment ago comes back.
function M.clear_line()
  local is_fresh = vim.uv.hrtime() / 1e6 - said_at_ms < SAID_MS
  vim.api.nvim_echo({ { is_fresh and said or '' } }, false, {})
end

---Returns how many cells a message may take before Neovim asks for Enter.
---@return number
local function room()
  if are_drawn_elsewhere() then
    return math.huge
  elseif vim.o.cmdheight == 0 then
    return 0
  end
  return vim.v.echospace + (vim.o.cmdheight - 1) * vim.o.columns
end

---Whether there is a line for what passes: with a 'cmdheight' of 0 each word asks for Enter.
---@return boolean
function M.has_line()
  return room() > 0
end

---Returns a text in one line that fits beside `taken` cells of other words.
---@param text string
---@param taken? integer
---@return string
function M.fitting(text, taken)
  text = units.line(text)
  local cells = math.max(1, room() - (taken or 0))
  if vim.fn.strdisplaywidth(text) <= cells then
    return text
  end
  local short = vim.fn.strcharpart(text, 0, cells - 1)
  while vim.fn.strdisplaywidth(short) > cells - 1 do
    short = vim.fn.strcharpart(short, 0, vim.fn.strchars(short) - 1)
  end
  return short .. '…'
end

---Puts a line into |:messages| without showing it.
---@param line string
local function remember(line)
  vim.cmd.echomsg({ args = { vim.fn.string(line) }, mods = { silent = true } })
end

---@param level integer
---@return string? group
local function group_of(level)
  return level >= vim.log.levels.ERROR and 'LofiError'
    or level >= vim.log.levels.WARN and 'LofiPaused'
    or nil
end

---@param text string
---@param hint string May be empty
---@param level integer
local function say(text, hint, level)
  text, hint = units.line(text), units.line(hint)
  local has_hint = hint ~= ''
  local line = has_hint and text .. ' – ' .. hint or text
  if are_drawn_elsewhere() or M.has_notifier() then
    return vim.notify(has_hint and text .. '\n' .. hint or text, level, { title = 'lofi' })
  elseif M.is_command_line_busy() then
    return vim.defer_fn(function()
      say(text, hint, level)
    end, AGAIN_MS)
  end
  said_at_ms, said = vim.uv.hrtime() / 1e6, ''
  if vim.fn.strdisplaywidth(line) <= room() then
    said = line
    return vim.notify(line, level, { title = 'lofi' })
  end
  remember(line)
  local parts = { { text = (text:gsub('^lofi: ', '')), group = group_of(level) } }
  parts[2] = has_hint and { text = hint } or nil
  local is_news = level < vim.log.levels.WARN and room() > 0
  if is_news or not notice.show(parts) then
    said = M.fitting(line)
    vim.api.nvim_echo({ { said, group_of(level) } }, false, {})
  end
end

---@param text string
---@param level? integer A vim.log.levels value, INFO when left out
function M.notify(text, level)
  level = level or vim.log.levels.INFO
  if config.get('ui.notify') and level >= config.get('ui.notify_level') then
    say('lofi: ' .. text, '', level)
  end
end

---Shows an error and what to do about it. Errors are never switched off.
---@param err { message: string, hint: string? }
---@param level? integer ERROR when left out
function M.error(err, level)
  local words, now_ms = err.message .. (err.hint or ''), vim.uv.hrtime() / 1e6
  if words == last_words and now_ms - last_at_ms < ECHO_MS then
    return
  end
  last_words, last_at_ms = words, now_ms
  say('lofi: ' .. err.message, err.hint or '', level or vim.log.levels.ERROR)
end

-- What nobody asked for: no sound device, a full disk, settings that differ, a daemon that stays
-- away.
for _, event in ipairs({ 'playback_error', 'daemon_error' }) do
  events.on(event, function(data)
    M.error(data, data.fatal and vim.log.levels.ERROR or vim.log.levels.WARN)
  end)
end

return M
