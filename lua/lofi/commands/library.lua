---Subcommands about the tracks there are: list, favorite, rate, delete, export, import, recipe,
---cache.

local actions = require('lofi.actions')
local answer = require('lofi.answer')
local arguments = require('lofi.arguments')
local choices = require('lofi.choices')
local float = require('lofi.float')
local lofi = require('lofi')
local picker = require('lofi.picker')
local units = require('lofi.units')

---@type table<string, lofi.Subcommand>
local M = {}

---@param words string[]
---@return string[]
local function id_first(words)
  return #words == 0 and choices.track_ids() or {}
end

M.list = {
  usage = '',
  text = 'pick a track and play it',
  run = function()
    picker.from('tracks', 'Tracks', function(track)
      lofi.play(track.track_id)
    end)
  end,
}

M.favorite = {
  usage = '[id]',
  text = 'mark a track, or take the mark away; the current one without an id',
  run = function(call)
    local id = call.words[1] or lofi.current_track()
    if not id then
      return lofi.favorite(nil)
    end
    lofi.track(
      id,
      answer.use(function(found)
        lofi.favorite(found.track.track_id, not found.track.favorite)
      end)
    )
  end,
  complete = id_first,
}

M.rate = {
  usage = '{0-5} [id]',
  text = 'rate a track; the current one without an id',
  run = function(call)
    local rating = tonumber(call.words[1])
    if not rating or rating % 1 ~= 0 or rating < 0 or rating > 5 then
      error('lofi: say how good it is: :Lofi rate 0 to :Lofi rate 5', 0)
    end
    lofi.rate(call.words[2], rating)
  end,
  complete = function(words)
    if #words == 0 then
      return { '0', '1', '2', '3', '4', '5' }
    end
    return #words == 1 and choices.track_ids() or {}
  end,
}

M.delete = {
  usage = '[id]',
  text = 'delete a track, after asking; pick one without an id',
  run = function(call)
    local function delete(id, title)
      picker.confirm(('Delete %s?'):format(title), call.bang, function()
        lofi.cache_delete(id)
      end)
    end
    if call.words[1] then
      return delete(call.words[1], call.words[1])
    end
    picker.from('tracks', 'Delete', function(track)
      delete(track.track_id, units.line(track.title))
    end)
  end,
  complete = id_first,
}

---Whether a word may be a track id: four hex digits and more, and no file of that name.
---@param word string
---@return boolean
local function is_id(word)
  return word:find('^%x%x%x%x+$') ~= nil and not vim.uv.fs_stat(word)
end

M.export = {
  usage = '[id] {path} [name=value…]',
  text = 'write a track to a file or folder; the current one without an id',
  run = function(call)
    local words, named = arguments.named(call.rest)
    local id = #words > 1 and is_id(words[1]) and table.remove(words, 1) or nil
    local path = table.concat(words, ' ')
    if path == '' then
      error('lofi: say where to: :Lofi export [id] {path}', 0)
    end
    if call.bang then
      named.overwrite = true
    end
    lofi.export(id, path, named)
  end,
  complete = function(words, lead)
    local files = choices.files(lead)
    return #words == 0 and vim.list_extend(choices.track_ids(), files) or files
  end,
}

M.import = {
  usage = '{path}',
  text = 'take a sound file into the cache',
  run = function(call)
    local words, named = arguments.named(call.rest)
    local path = table.concat(words, ' ')
    if path == '' then
      error('lofi: say which file: :Lofi import {path}', 0)
    end
    lofi.import(path, named)
  end,
  complete = function(_, lead)
    return choices.files(lead)
  end,
}

---@param value any
---@return string
local function typed(value)
  local text = type(value) == 'table' and vim.json.encode(value) or tostring(value)
  return text:find('%s') and ('"%s"'):format(text) or text
end

---@param members table
---@param lines lofi.float.Line[] Gets a line for each
local function list(members, lines)
  local names = vim.tbl_keys(members)
  table.sort(names)
  for _, name in ipairs(names) do
    lines[#lines + 1] = { text = name .. '=' .. typed(members[name]) }
  end
end

---@param request table
---@param plan table? What the planner thought: `metas`, `caption`, `lyrics`, `codes`
---@return lofi.float.Line[]
local function recipe_lines(request, plan)
  local lines = {}
  list(request, lines)
  if not plan then
    return lines
  end
  lines[#lines + 1] = { text = ('the plan, %d codes'):format(#plan.codes), group = 'LofiTitle' }
  list(plan.metas, lines)
  lines[#lines + 1] = { text = plan.caption, group = 'LofiPrompt' }
  for _, line in ipairs(vim.split(plan.lyrics, '\n', { trimempty = true })) do
    lines[#lines + 1] = { text = line, group = 'LofiDim' }
  end
  return lines
end

M.recipe = {
  usage = '[id]',
  text = 'show the request that makes the track again, and what the planner thought',
  run = function(call)
    answer.with_track(call.words[1], nil, function(id)
      lofi.recipe(
        id,
        answer.use(function(result)
          lofi.track(id, function(_, found)
            float.show('lofi recipe', recipe_lines(result.request, found and found.plan))
          end)
        end)
      )
    end)
  end,
  complete = id_first,
}

---@param stats table
---@return lofi.float.Line[]
local function stats_lines(stats)
  local limit = stats.max_mb and stats.max_mb > 0 and (' of %d MB'):format(stats.max_mb) or ''
  local tracks, favourites = units.count(stats.count, 'track'), stats.favorites
  local lines = {
    { text = ('%s, %s'):format(tracks, units.count(favourites, 'favourite')) },
    { text = ('%.1f MB%s'):format(stats.size_mb, limit) },
    { text = ('%s of music'):format(units.clock(stats.total_duration_sec)) },
    { text = stats.dir, group = 'LofiDim' },
  }
  return lines
end

local function show_stats()
  lofi.cache_stats(answer.use(function(stats)
    float.show('lofi cache', stats_lines(stats))
  end))
end

M.cache = actions.of({
  name = 'cache',
  usage = '[stats|clear|gc]',
  text = 'figures of the cache; clear asks and keeps favourites',
  bare = show_stats,
  actions = {
    stats = show_stats,
    clear = function(call)
      picker.confirm('Delete all tracks but favourites?', call.bang, function()
        lofi.cache_clear()
      end)
    end,
    gc = function()
      lofi.cache_gc()
    end,
  },
})

return M
