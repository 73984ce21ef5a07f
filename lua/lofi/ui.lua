---What the person sees without asking: notices, errors with their hints, the statusline. Reads
---what is known and never asks the daemon.

local config = require('lofi.config')
local events = require('lofi.events')
local state = require('lofi.state')

local M = {}

local REDRAW_EVERY_MS = 1000
---What 'showcmd' and 'ruler' take of it.
local COMMAND_LINE_MARGIN = 12

---Whether the statusline was ever drawn; until then nobody needs it redrawn.
local is_statusline_used = false
---@type uv.uv_timer_t?
local redraw_timer

---Whether somebody replaced `vim.notify` by a notifier.
---@return boolean
function M.has_notifier()
  local source = debug.getinfo(vim.notify, 'S').source
  -- Neovim's own: some builds strip the names of built-in files to a question mark.
  return not (source:find('vim/_?[%w_/]*editor%.lua$') or source:find('^=?%?$'))
end

---@param text string
---@param level? integer A vim.log.levels value, INFO when left out
function M.notify(text, level)
  level = level or vim.log.levels.INFO
  if not config.get('ui.notify') or level < config.get('ui.notify_level') then
    return
  end
  text = 'lofi: ' .. text
  local room = vim.o.columns - COMMAND_LINE_MARGIN
  if M.has_notifier() or vim.fn.strdisplaywidth(text) <= room then
    return vim.notify(text, level, { title = 'lofi' })
  end
  -- A line too long for the command line would make the person press Enter. :messages has it all.
  vim.cmd.echomsg({ args = { vim.fn.string(text) }, mods = { silent = true } })
  local group = level >= vim.log.levels.WARN and 'WarningMsg' or nil
  vim.api.nvim_echo({ { vim.fn.strcharpart(text, 0, room - 1) .. '…', group } }, false, {})
end

---Shows an error and what to do about it. Errors are never switched off.
---@param err lofi.Error
---@param level? integer ERROR when left out
function M.error(err, level)
  local text = 'lofi: ' .. err.message
  if err.hint and err.hint ~= '' then
    local line = text .. ' – ' .. err.hint
    -- Two lines make the person press Enter; one that fits does not.
    local room = vim.o.columns - COMMAND_LINE_MARGIN
    local fits = not M.has_notifier() and vim.fn.strdisplaywidth(line) <= room
    text = fits and line or text .. '\n' .. err.hint
  end
  vim.notify(text, level or vim.log.levels.ERROR, { title = 'lofi' })
end

---Returns seconds as people read them: `0:15`, `1:02:30`.
---@param seconds number?
---@return string
function M.clock(seconds)
  seconds = math.floor((seconds or 0) + 0.5)
  if seconds >= 3600 then
    return ('%d:%02d:%02d'):format(seconds / 3600, seconds / 60 % 60, seconds % 60)
  end
  return ('%d:%02d'):format(math.floor(seconds / 60), seconds % 60)
end

local function start_redrawing()
  if redraw_timer then
    return
  end
  redraw_timer = assert(vim.uv.new_timer())
  redraw_timer:start(
    REDRAW_EVERY_MS,
    REDRAW_EVERY_MS,
    vim.schedule_wrap(function()
      if state.now.playback.state == 'playing' then
        return vim.cmd.redrawstatus()
      end
      if redraw_timer then
        redraw_timer:close()
        redraw_timer = nil
      end
    end)
  )
end

---What changes the statusline; each is followed by drawing it anew, if it ever showed us.
local REDRAWING = {
  'generation_start',
  'generation_progress',
  'generation_complete',
  'generation_error',
  'generation_cancelled',
  'download_progress',
  'download_complete',
  'download_error',
  'download_cancelled',
  'playback_start',
  'playback_end',
  'playback_state',
  'daemon_exit',
}
for _, event in ipairs(REDRAWING) do
  events.on(event, function()
    if is_statusline_used then
      vim.cmd.redrawstatus()
    end
  end)
end

---@param playback lofi.Playback
---@param opts lofi.StatuslineOpts
---@return string
local function title_of(playback, opts)
  if not opts.title or not playback.title then
    return ''
  end
  local limit = type(opts.title) == 'number' and opts.title or 40
  return ' ' .. vim.fn.strcharpart(playback.title, 0, limit)
end

---@class lofi.StatuslineOpts
---@field title? boolean|integer Show the title, in at most so many characters
---@field icons? table<string, string> In place of `ui.icons`
---@field format? fun(snapshot: lofi.State): string?

---Returns what happens now in a few characters, or nil: `▶ 0:15/0:30`, `▶ 0:15 ◌ 45%`.
---@param opts? lofi.StatuslineOpts
---@return string?
function M.statusline(opts)
  opts = opts or {}
  if not config.get('ui.statusline') then
    return nil
  end
  is_statusline_used = true
  if opts.format then
    return opts.format(state.now)
  end
  local function icon(name)
    return (opts.icons or {})[name] or config.get('ui.icons.' .. name)
  end
  local playback, generation = state.now.playback, state.generating()
  local parts = {}
  if playback.state == 'playing' or playback.state == 'paused' then
    local text = icon(playback.state) .. ' ' .. M.clock(math.floor(state.position_sec()))
    if not generation and playback.duration_sec then
      text = text .. '/' .. M.clock(playback.duration_sec)
    end
    if playback.muted then
      text = text .. ' ' .. icon('muted')
    end
    parts[1] = text .. title_of(playback, opts)
  end
  if playback.state == 'playing' then
    start_redrawing()
  end
  if generation then
    parts[#parts + 1] = ('%s %d%%'):format(icon('generating'), generation.percent)
  end
  local _, download = next(state.now.downloads)
  if download and download.overall_percent then
    parts[#parts + 1] = ('%s ⇣ %d%%'):format(icon('generating'), download.overall_percent)
  end
  return #parts > 0 and table.concat(parts, ' ') or nil
end

-- What the daemon says of itself, unasked: no sound device, a full disk, settings that differ.
for _, event in ipairs({ 'playback_error', 'daemon_error' }) do
  events.on(event, function(data)
    if not data.fatal then
      M.error(data, vim.log.levels.WARN)
    end
  end)
end

return M
