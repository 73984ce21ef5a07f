---The one table of what is known now. Written by answers and notifications only; reading it costs
---nothing and asks nobody.

local M = {}

---@class lofi.State
---@field daemon table? `daemon` of the handshake
---@field methods table<string, true> What the daemon can do
---@field playback lofi.Playback
---@field playback_at_ms number When `playback.position_sec` held, by this editor's clock
---@field generations table<string, lofi.Generation> Jobs that run, by track id
---@field downloads table<string, table> Last `download_progress`, by backend
---@field queue table Last `queue_changed` or `queue_status`
---@field playlist { tracks: table[], index: integer?, length: integer }
---@field tracks table<string, lofi.Track> What the cache is known to hold
---@field status table? Last answer of `status`
---@field backends table[]
---@field default_backend string?
---@field presets table[]
---@field devices table[]
---@field cache_stats table?
---@field prompts string[] Recent prompts, for completion

---@return lofi.State
local function empty()
  return {
    methods = {},
    playback = {
      state = 'stopped',
      position_sec = 0,
      volume = 0,
      muted = false,
      playlist_length = 0,
    },
    playback_at_ms = 0,
    generations = {},
    downloads = {},
    queue = { pending = {} },
    playlist = { tracks = {}, length = 0 },
    tracks = {},
    backends = {},
    presets = {},
    devices = {},
    prompts = {},
  }
end

---@type lofi.State
M.now = empty()

---@return number
local function clock_ms()
  return vim.uv.hrtime() / 1e6
end

---Takes a `playback` object.
---@param playback table
local function set_playback(playback)
  M.now.playback = vim.tbl_extend('force', M.now.playback, playback)
  -- A member the daemon leaves out or sends as null is nil there.
  for _, name in ipairs({ 'track_id', 'title', 'duration_sec', 'index' }) do
    M.now.playback[name] = playback[name]
  end
  M.now.playback_at_ms = clock_ms()
end

---@param changes table
local function change_playback(changes)
  M.now.playback = vim.tbl_extend('force', M.now.playback, changes)
  M.now.playback_at_ms = clock_ms()
end

---Returns where the player is now, counted on from the last message.
---@return number
function M.position_sec()
  local playback = M.now.playback
  local position = playback.position_sec or 0
  if playback.state == 'playing' then
    position = position + (clock_ms() - M.now.playback_at_ms) / 1000
  end
  return math.max(0, math.min(position, playback.duration_sec or math.huge))
end

---Returns the running job that is furthest, nil when none runs.
---@return lofi.Generation?
function M.generating()
  local best
  for _, generation in pairs(M.now.generations) do
    if not best or generation.percent > best.percent then
      best = generation
    end
  end
  return best
end

---Takes the daemon's answer to the handshake.
---@param result table
function M.connected(result)
  local kept = M.now
  M.now = empty()
  M.now.presets, M.now.prompts, M.now.tracks = kept.presets, kept.prompts, kept.tracks
  M.now.daemon = result.daemon
  M.now.backends = result.backends or {}
  M.now.default_backend = result.default_backend
  for _, method in ipairs((result.capabilities or {}).methods or {}) do
    M.now.methods[method] = true
  end
  local status = result.state or {}
  M.now.status = status
  if status.playback then
    set_playback(status.playback)
  end
  local generation = status.generation
  if generation and generation.active and generation.track_id then
    M.now.generations[generation.track_id] = generation
  end
end

---Forgets what only a living daemon can vouch for.
function M.disconnected()
  local kept = M.now
  M.now = empty()
  M.now.presets, M.now.prompts, M.now.tracks = kept.presets, kept.prompts, kept.tracks
end

---@type table<string, fun(result: any, params: table)>
local ANSWERS = {
  status = function(result)
    M.now.status = result
    set_playback(result.playback or {})
  end,
  queue_status = function(result)
    M.now.queue = result
  end,
  get_backends = function(result)
    M.now.backends, M.now.default_backend = result.backends, result.default_backend
  end,
  playlist_get = function(result)
    M.now.playlist = {
      tracks = result.items or {},
      index = result.index,
      length = #(result.tracks or {}),
    }
  end,
  cache_list = function(result, params)
    if next(params) == nil then
      M.now.tracks = {}
    end
    for _, track in ipairs(result.tracks) do
      M.now.tracks[track.track_id] = track
    end
  end,
  cache_stats = function(result)
    M.now.cache_stats = result
  end,
  presets_list = function(result)
    M.now.presets = result.presets
  end,
  audio_devices = function(result)
    M.now.devices = result.available
  end,
  prompt_history = function(result)
    M.now.prompts = vim.tbl_map(function(item)
      return item.prompt
    end, result.prompts)
  end,
  volume_set = function(result)
    change_playback({
      position_sec = M.position_sec(),
      volume = result.level,
      muted = result.muted,
    })
  end,
}

---Takes the answer to a request.
---@param method string
---@param params table
---@param result any
function M.answered(method, params, result)
  if ANSWERS[method] and type(result) == 'table' then
    ANSWERS[method](result, params)
  end
end

---@param params table
local function ended(params)
  M.now.generations[params.track_id] = nil
end

---@param params table
local function download_ended(params)
  M.now.downloads[params.backend] = nil
end

---@type table<string, fun(params: table)>
local NOTIFICATIONS = {
  download_progress = function(params)
    M.now.downloads[params.backend] = params
  end,
  download_complete = download_ended,
  download_error = download_ended,
  download_cancelled = download_ended,
  generation_start = function(params)
    M.now.generations[params.track_id] = vim.tbl_extend('keep', params, { percent = 0 })
  end,
  generation_progress = function(params)
    local known = M.now.generations[params.track_id] or {}
    M.now.generations[params.track_id] = vim.tbl_extend('force', known, params)
  end,
  generation_complete = function(params)
    ended(params)
    M.now.tracks[params.track_id] =
      vim.tbl_extend('force', M.now.tracks[params.track_id] or { favorite = false }, params)
  end,
  generation_error = ended,
  generation_cancelled = ended,
  playback_started = function(params)
    change_playback({
      state = 'playing',
      track_id = params.track_id,
      title = params.title,
      duration_sec = params.duration_sec,
      position_sec = params.position_sec or 0,
      index = params.index,
    })
  end,
  playback_paused = function(params)
    change_playback({ state = 'paused', position_sec = params.position_sec })
  end,
  playback_resumed = function(params)
    change_playback({ state = 'playing', position_sec = params.position_sec })
  end,
  playback_ended = function(params)
    if params.track_id == M.now.playback.track_id then
      change_playback({ state = 'stopped', position_sec = 0 })
    end
  end,
  playback_state = set_playback,
  playlist_changed = function(params)
    M.now.playlist = params
    M.now.playback.playlist_length = params.length
    M.now.playback.index = params.index
  end,
  queue_changed = function(params)
    M.now.queue = vim.tbl_extend('force', M.now.queue, params)
  end,
  cache_changed = function(params)
    for _, id in ipairs(params.removed or {}) do
      M.now.tracks[id] = nil
    end
  end,
  backend_changed = function(params)
    for index, backend in ipairs(M.now.backends) do
      if backend.type == params.type then
        M.now.backends[index] = params
      end
    end
  end,
}

---Takes a notification.
---@param method string
---@param params table
function M.notified(method, params)
  if NOTIFICATIONS[method] then
    NOTIFICATIONS[method](params)
  end
end

return M
