---What is heard: the player's part of the public API.

local answer = require('lofi.answer')
local check = require('lofi.check')
local state = require('lofi.state')
local units = require('lofi.units')

local M = {}

---Plays a track or a file; without one resumes, goes on, or plays the newest.
---@param track? string Track id, unique prefix, or path of a file
---@param callback? lofi.Callback
function M.play(track, callback)
  check.type('track', track, 'string?')
  check.type('callback', callback, 'function?')
  local params = {}
  if track then
    local is_file = track:find('[/\\]') or track:find('%.%w+$')
    params = is_file and { path = answer.absolute(track) } or { track_id = track }
  end
  answer.ask('play', params, callback)
end

---Returns what is said where a command found nothing to act on.
---@param playback lofi.Playback
---@return string?
local function say_idle(playback)
  return playback.state == 'stopped' and 'nothing plays; :Lofi starts music' or nil
end

---@param callback? lofi.Callback
function M.pause(callback)
  answer.ask('pause', {}, callback, say_idle)
end

---@param callback? lofi.Callback
function M.resume(callback)
  answer.ask('resume', {}, callback, say_idle)
end

---@param callback? lofi.Callback
function M.toggle(callback)
  answer.ask('toggle', {}, callback)
end

---Stops playback; the daemon lives on.
---@param callback? lofi.Callback
function M.stop(callback)
  answer.ask('stop', {}, callback)
end

---@param count? integer
---@param callback? lofi.Callback
function M.skip(count, callback)
  check.type('count', count, 'number?')
  answer.ask('skip', { count = count }, callback, say_idle)
end

---Restarts the track when more than 3 s in, else goes to the one before.
---@param callback? lofi.Callback
function M.previous(callback)
  answer.ask('previous', {}, callback, say_idle)
end

---@param text string
---@return number? seconds Of `90`, `1:30`, `1:02:03`
local function seconds_of(text)
  local total = 0
  for _, part in ipairs(vim.split(text, ':', { plain = true })) do
    local number = tonumber(part)
    if not number then
      return nil
    end
    total = total * 60 + number
  end
  return total
end

---Goes to a position.
---@param position number|string Seconds, `'1:30'`, or a distance: `'+10'`, `'-10'`
---@param callback? lofi.Callback
function M.seek(position, callback)
  check.type('position', position, { 'number', 'string' })
  local text = tostring(position)
  local sign = text:match('^[+-]')
  local seconds = seconds_of(sign and text:sub(2) or text)
  if not seconds then
    error(('lofi: position must be seconds or minutes:seconds, got %q'):format(text), 2)
  end
  local is_distance = type(position) == 'string' and sign
  local signed = sign == '-' and -seconds or seconds
  local params = is_distance and { delta_sec = signed } or { position_sec = signed }
  answer.ask('seek', params, callback, say_idle)
end

---@param result { level: number, muted: boolean }
---@return string
local function say_volume(result)
  return units.volume(result.level, result.muted)
end

---Sets the volume; without arguments returns the one known.
---@param level? number|string 0..1, or a distance in percent: `'+10'`, `'-10'`
---@param callback? lofi.Callback
---@return number?
function M.volume(level, callback)
  check.type('level', level, { 'number?', 'string' })
  if level == nil and not callback then
    return state.now.playback.volume
  elseif level == nil then
    return answer.ask('volume_get', {}, callback)
  elseif type(level) == 'number' then
    return answer.ask('volume_set', { level = level }, callback, say_volume)
  end
  local percent = tonumber((level:gsub('^%+', '')))
  if not percent then
    error(("lofi: level must be a number or '+10' or '-10', got %q"):format(level), 2)
  end
  answer.ask('volume_set', { delta = percent / 100 }, callback, say_volume)
end

---@param is_muted? boolean Turned over when left out
---@param callback? lofi.Callback
function M.mute(is_muted, callback)
  check.type('is_muted', is_muted, 'boolean?')
  answer.ask('mute', { muted = is_muted }, callback, function(result)
    return result.muted and 'muted' or 'sound on'
  end)
end

---@param callback lofi.Callback
function M.devices(callback)
  answer.ask('audio_devices', {}, callback)
end

---Plays on another output, `''` on the system's default; without a name returns the one known.
---@param name? string
---@param callback? lofi.Callback
---@return string?
function M.device(name, callback)
  check.type('name', name, 'string?')
  if name == nil and not callback then
    return state.now.playback.device
  elseif name == nil then
    return answer.ask('audio_devices', {}, callback)
  end
  local device = name ~= '' and name or vim.NIL
  answer.ask('audio_device_set', { device = device }, callback, function(result)
    return 'output: ' .. (result.device or "the system's default")
  end)
end

---Returns the track ids of the playlist; with a callback asks for the whole of it.
---@param callback? lofi.Callback
---@return string[]?
function M.playlist(callback)
  if callback then
    return answer.ask('playlist_get', {}, callback)
  end
  return vim.tbl_map(function(item)
    return type(item) == 'table' and item.track_id or item
  end, state.now.playlist.tracks)
end

return M
