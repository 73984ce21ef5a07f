---Bare `:Lofi`: music at once. Pauses, resumes or goes on; with nothing loaded it starts the
---endless stream, and sets Python up first where there is none.

local daemon = require('lofi.daemon')
local player = require('lofi.player')
local state = require('lofi.state')
local stream = require('lofi.stream')
local ui = require('lofi.ui')
require('lofi.progress')

local M = {}

---@param call lofi.Call
local function offer_setup(call)
  -- Loaded only where it is needed: between the keypress and the music every module counts.
  local installation = require('lofi.installation')
  require('lofi.picker').confirm(installation.question(), call.bang, function()
    installation.start(function()
      M.run(call)
    end)
  end)
end

---Whether what is missing is Python or its packages.
---@param err lofi.Error
---@return boolean
local function needs_setup(err)
  return err.code == 'DAEMON_NOT_FOUND' or err.hint:find('setup python', 1, true) ~= nil
end

---@param call lofi.Call
function M.run(call)
  -- The handshake tells what is loaded, and notifications keep that true: nothing is asked first.
  daemon.start(function(err)
    if err and needs_setup(err) then
      return offer_setup(call)
    elseif err then
      return ui.error(err)
    end
    local playback = state.now.playback
    local is_loaded = playback.state ~= 'stopped' or (playback.playlist_length or 0) > 0
    if is_loaded then
      player.toggle()
    elseif not stream.is_active() then
      stream.start()
    end
  end)
end

return M
