---What happens now, in a few characters for a statusline. Reads what is known and asks nobody.

local config = require('lofi.config')
local events = require('lofi.events')
local state = require('lofi.state')
local units = require('lofi.units')

local M = {}

local REDRAW_EVERY_MS = 1000

---Whether it was ever drawn; until then nobody needs it redrawn.
local is_used = false
---@type uv.uv_timer_t?
local redraw_timer

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

-- What changes it is followed by drawing it anew, if it was ever shown.
events.on('*', function(event)
  local kind = event:match('^%a+')
  if is_used and vim.list_contains({ 'generation', 'download', 'playback', 'daemon' }, kind) then
    vim.cmd.redrawstatus()
  end
end)

---@param playback lofi.Playback
---@param opts lofi.StatuslineOpts
---@return string
local function title_of(playback, opts)
  if not opts.title or not playback.title then
    return ''
  end
  local limit = type(opts.title) == 'number' and opts.title or 40
  return ' ' .. vim.fn.strcharpart(units.line(playback.title), 0, limit)
end

---@class lofi.StatuslineOpts
---@field title? boolean|integer Show the title, in at most so many characters
---@field icons? table<string, string> In place of `ui.icons`
---@field format? fun(snapshot: lofi.State): string?

---Returns what happens now in a few characters, or nil: `▶ 0:15/0:30`, `▶ 0:15 ◌ 45%`.
---@param opts? lofi.StatuslineOpts
---@return string?
function M.text(opts)
  opts = opts or {}
  if not config.get('ui.statusline') then
    return nil
  end
  is_used = true
  if state.now.playback.state == 'playing' then
    start_redrawing()
  end
  if opts.format then
    return opts.format(state.now)
  end
  local function icon(name)
    return (opts.icons or {})[name] or config.get('ui.icons.' .. name)
  end
  local playback, generation = state.now.playback, state.generating()
  local parts = {}
  if playback.state == 'playing' or playback.state == 'paused' then
    local text = icon(playback.state) .. ' ' .. units.clock(math.floor(state.position_sec()))
    if not generation and playback.duration_sec then
      text = text .. '/' .. units.clock(playback.duration_sec)
    end
    if playback.muted then
      text = text .. ' ' .. icon('muted')
    end
    parts[1] = text .. title_of(playback, opts)
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

return M
