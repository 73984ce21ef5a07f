---Bare `:Lofi`: music at once. Pauses, resumes or goes on; with nothing loaded it starts the
---endless stream, and sets Python up first where there is none.

local daemon = require('lofi.daemon')
-- Everything else is loaded while the daemon starts: between the keypress and the music every
-- module counts, and the editor must not be busy for long at once.

local M = {}

---@param call lofi.Call
local function offer_setup(call)
  local installation = require('lofi.installation')
  local function start()
    installation.start(function()
      M.run(call)
    end)
  end
  if installation.is_running() then
    return start() -- a build step of a plugin manager may be at it
  end
  require('lofi.picker').confirm(installation.question(), call.bang, start)
end

---Whether what is missing is Python or its packages.
---@param err lofi.Error
---@return boolean
local function needs_setup(err)
  return err.code == 'DAEMON_NOT_FOUND' or err.hint:find('setup python', 1, true) ~= nil
end

---Whether nobody but this editor uses the daemon.
---@return boolean
local function is_only_client()
  local own = (require('lofi.state').now.status or {}).daemon
  return own ~= nil and own.clients == 1
end

---@param was_running boolean Before the command
local function start_or_toggle(was_running)
  local stream, player = require('lofi.stream'), require('lofi.player')
  local playback = require('lofi.state').now.playback
  if playback.state ~= 'stopped' and not was_running and is_only_client() then
    -- Brought back from the last session. After a crash it plays on by itself: a toggle, which
    -- arrives a moment later, would pause it.
    player.resume()
  elseif playback.state ~= 'stopped' or (playback.playlist_length or 0) > 0 then
    player.toggle()
  elseif not stream.is_active() then
    stream.start()
  end
end

---@param call lofi.Call
function M.run(call)
  -- The handshake tells what is loaded, and notifications keep that true: nothing is asked first.
  local was_running, is_answered = daemon.is_running(), false
  daemon.start(function(err)
    is_answered = true
    if err and needs_setup(err) then
      return offer_setup(call)
    elseif err then
      return require('lofi.ui').error(err)
    end
    start_or_toggle(was_running)
  end)
  vim.schedule(function()
    local progress = require('lofi.progress')
    if not is_answered then
      progress.starting()
    end
  end)
end

return M
