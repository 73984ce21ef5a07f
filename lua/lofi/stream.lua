---The endless music of bare `:Lofi`: one procedural track at once, and whenever one of them begins
---to sound, the next with another seed.

local config = require('lofi.config')
local events = require('lofi.events')
local job = require('lofi.job')
local options = require('lofi.options')
local ui = require('lofi.ui')

local M = {}

---Long enough that music is not all beginnings and ends.
local TRACK_SEC = 180
---How many times in a row a track may fail before the stream gives up.
local FAILURE_LIMIT = 2

local is_active = false
---The track whose beginning asks for another.
---@type string?
local newest
local failures = 0

local function ask() -- the daemon draws the seed, another one each time
  local defaults = config.free('defaults')
  local params = {
    backend = 'procedural',
    prompt = defaults.prompt or options.DEFAULT_PROMPT,
    duration_sec = defaults.duration_sec or TRACK_SEC,
    seed = -1,
    auto_play = true,
  }
  local own
  own = job.start(params, {
    on_queued = function(answer)
      newest = answer.track_id
    end,
  }, function(err)
    if not err then
      failures = 0
      return
    end
    failures = failures + 1
    local is_over = err.code == 'GENERATION_CANCELLED' or failures >= FAILURE_LIMIT
    if is_over or not own.track_id then
      is_active = false
    elseif is_active then
      ask()
    end
    if err.code ~= 'GENERATION_CANCELLED' then
      return ui.error(err)
    end
    ui.notify('cancelled; the music ends with what is made already')
  end)
  own.is_quiet = newest ~= nil
  return own
end

---Starts the stream.
---@return lofi.Job
function M.start()
  is_active, newest, failures = true, nil, 0
  return ask()
end

---@return boolean
function M.is_active()
  return is_active
end

function M.stop()
  is_active = false
end

events.on('playback_start', function(data)
  if is_active and data.track_id == newest then
    ask()
  end
end)

events.on('playback_end', function(data)
  if data.reason == 'stopped' then
    is_active = false
  end
end)

return M
