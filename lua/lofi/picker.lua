---Questions to the person: one of a list, yes or no, a track. Shown by `vim.ui.select`, which other
---plugins replace.

local config = require('lofi.config')
local daemon = require('lofi.daemon')
local ui = require('lofi.ui')
local units = require('lofi.units')

local M = {}

---What Neovim's own list puts before an item: its number.
local NUMBER_CELLS = 6
---Tracks asked for at once.
local PAGE = 100

---@class lofi.picker.Options
---@field prompt string
---@field kind string What the items are, for plugins that draw them, such as `lofi.track`
---@field line_of? fun(item: any): string

---Lets the person pick one of `items`; nothing is called when they pick none.
---@param items any[]
---@param options lofi.picker.Options
---@param choose fun(item: any)
function M.pick(items, options, choose)
  vim.ui.select(items, {
    prompt = options.prompt,
    kind = options.kind,
    format_item = options.line_of or tostring,
  }, function(item)
    -- Neovim's own list scrolls the screen: the next words would make the person press Enter.
    vim.cmd.redraw()
    if item ~= nil then
      choose(item)
    end
  end)
end

---Asks yes or no; `is_yes` answers for the person.
---@param question string
---@param is_yes boolean
---@param callback fun()
function M.confirm(question, is_yes, callback)
  if is_yes then
    return callback()
  end
  M.pick({ 'Yes', 'No' }, { prompt = question, kind = 'lofi.confirm' }, function(choice)
    if choice == 'Yes' then
      callback()
    end
  end)
end

---What can be picked from, for every picker there is: asked for, named, drawn.
---@class lofi.picker.Source
---@field kind string
---@field empty string What is said when there is nothing
---@field fetch fun(callback: fun(err: lofi.Error?, items: any[]?))
---@field line_of fun(item: any): string One line that fits on the screen

---@type table<string, lofi.picker.Source>
M.SOURCES = {}

---@param text string
---@return integer
local function cells_of(text)
  -- Thousands of titles are measured at once; Neovim is asked only where bytes are no cells.
  return text:find('[^ -~]') and vim.fn.strdisplaywidth(text) or #text
end

---@param text string
---@param cells integer
---@return string text Of exactly so many cells
local function column(text, cells)
  while cells_of(text) > cells do
    text = vim.fn.strcharpart(text, 0, math.min(cells, vim.fn.strchars(text) - 1) - 1) .. '…'
  end
  return text .. (' '):rep(cells - cells_of(text))
end

---@param track lofi.Track
---@return string
local function draw_track(track)
  local star = track.favorite and config.get('ui.icons.favorite') or ' '
  local before = ('%s %6s  '):format(star, units.clock(track.duration_sec))
  local day = (track.created_at or ''):sub(1, 10)
  local after = ('  %-11s  %s'):format(track.backend, day)
  local room = vim.o.columns - NUMBER_CELLS - cells_of(before .. after)
  local title = units.line(track.title or track.track_id)
  return before .. column(title, math.max(12, math.min(50, room))) .. after
end

---Lines of tracks that were drawn as they came.
---@type table<lofi.Track, string>
local drawn = setmetatable({}, { __mode = 'k' })

---Asks for all tracks and draws them, a page at a time: a thousand at once would keep the editor
---busy.
---@param callback fun(err: lofi.Error?, tracks: lofi.Track[]?)
local function fetch_tracks(callback)
  local tracks = {} ---@type lofi.Track[]
  local function fetch()
    daemon.request('cache_list', { limit = PAGE, offset = #tracks }, function(err, result)
      if err then
        return callback(err)
      end
      for _, track in ipairs(result.tracks) do
        tracks[#tracks + 1] = track
        drawn[track] = draw_track(track)
      end
      if #result.tracks == 0 or #tracks >= result.total then
        return callback(nil, tracks)
      end
      fetch()
    end)
  end
  fetch()
end

M.SOURCES.tracks = {
  kind = 'lofi.track',
  empty = 'there is no track yet; :Lofi generate makes one',
  fetch = fetch_tracks,
  line_of = function(track)
    return drawn[track] or draw_track(track)
  end,
}

---Lets the person pick from a source.
---@param name string One of `SOURCES`
---@param prompt string
---@param choose fun(item: any)
function M.from(name, prompt, choose)
  local source = M.SOURCES[name]
  source.fetch(function(err, items)
    if err then
      return ui.error(err)
    elseif not items or #items == 0 then
      return ui.notify(source.empty)
    end
    M.pick(items, { prompt = prompt, kind = source.kind, line_of = source.line_of }, choose)
  end)
end

return M
