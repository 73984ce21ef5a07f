---What completion offers: tracks, jobs, presets, prompts, files. It returns what is known now and
---asks the daemon for the next time.

local daemon = require('lofi.daemon')
local state = require('lofi.state')

local M = {}

---Nobody completes among more.
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

return M
