---What can be completed or picked: tracks, jobs, presets, prompts. Completion returns what is
---known now and asks the daemon for the next time.

local config = require('lofi.config')
local daemon = require('lofi.daemon')
local state = require('lofi.state')
local ui = require('lofi.ui')

local M = {}

---Completion needs no more; pickers ask for all.
local TRACK_LIMIT = 200
local REFRESH_GAP_MS = 2000

---@type table<string, number>
local asked_at_ms = {}

---@param method string
---@param params table
local function refresh(method, params)
  local now_ms = vim.uv.now()
  if
    daemon.is_running() and now_ms - (asked_at_ms[method] or -REFRESH_GAP_MS) >= REFRESH_GAP_MS
  then
    asked_at_ms[method] = now_ms
    daemon.request(method, params)
  end
end

---@return string[]
function M.track_ids()
  refresh('cache_list', { limit = TRACK_LIMIT })
  local ids = vim.tbl_keys(state.now.tracks)
  table.sort(ids, function(a, b)
    local left, right = state.now.tracks[a], state.now.tracks[b]
    return (left.created_at or '') > (right.created_at or '')
  end)
  return ids
end

---@return string[]
function M.job_ids()
  local ids = {} ---@type table<string, true>
  for id in pairs(state.now.generations) do
    ids[id] = true
  end
  for id in pairs(state.now.queue.position_by_track or {}) do
    ids[id] = true
  end
  return vim.tbl_keys(ids)
end

---@return string[]
function M.prompts()
  refresh('prompt_history', { limit = 20 })
  return state.now.prompts
end

---@return string[]
function M.presets()
  refresh('presets_list', {})
  return vim.tbl_map(function(name)
    return '@' .. name
  end, require('lofi.generate').preset_names())
end

---@return string[]
function M.devices()
  refresh('audio_devices', {})
  return vim.tbl_map(function(device)
    return device.name
  end, state.now.devices)
end

---@param lead string
---@return string[]
function M.files(lead)
  return vim.fn.getcompletion(lead, 'file')
end

---Returns a track in one line: star, length, title, backend, day.
---@param track lofi.Track
---@return string
function M.line_of(track)
  local star = track.favorite and config.get('ui.icons.favorite') or ' '
  local day = (track.created_at or ''):sub(1, 10)
  local title = vim.fn.strcharpart(track.title or track.track_id, 0, 60)
  local length = ui.clock(track.duration_sec)
  return ('%s %6s  %s  %s  %s'):format(star, length, title, track.backend, day)
end

---Lets the person pick a track.
---@param prompt string
---@param callback fun(track: lofi.Track)
function M.pick_track(prompt, callback)
  daemon.request('cache_list', {}, function(err, result)
    if err then
      return ui.error(err)
    elseif #result.tracks == 0 then
      return ui.notify('there is no track yet; :Lofi generate makes one')
    end
    vim.ui.select(result.tracks, {
      prompt = prompt,
      kind = 'lofi.track',
      format_item = M.line_of,
    }, function(track)
      if track then
        callback(track)
      end
    end)
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
  vim.ui.select({ 'Yes', 'No' }, { prompt = question, kind = 'lofi.confirm' }, function(choice)
    if choice == 'Yes' then
      callback()
    end
  end)
end

return M
