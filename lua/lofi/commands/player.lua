---Subcommands about what is heard: play, pause, resume, toggle, stop, skip, prev, seek, volume,
---device.

local answer = require('lofi.answer')
local choices = require('lofi.choices')
local lofi = require('lofi')
local picker = require('lofi.picker')
local stream = require('lofi.stream')
local ui = require('lofi.ui')
local units = require('lofi.units')

---@type table<string, lofi.Subcommand>
local M = {}

M.play = {
  usage = '[id|path]',
  text = 'play a track or a file; without one, go on',
  run = function(call)
    lofi.play(call.rest ~= '' and call.rest or nil)
  end,
  complete = function(words, lead)
    if #words > 0 then
      return {}
    end
    return lead:find('[/~.]') and choices.files(lead) or choices.track_ids()
  end,
}

---@param text string
---@param act fun()
---@return lofi.Subcommand
local function plain(text, act)
  return {
    usage = '',
    text = text,
    run = function()
      act()
    end,
  }
end

M.pause = plain('pause', lofi.pause)
M.resume = plain('go on after a pause', lofi.resume)
M.toggle = plain('pause or go on', lofi.toggle)
M.prev = plain('restart the track, or play the one before', lofi.previous)
M.stop = plain('stop playing', function()
  stream.stop()
  lofi.stop()
end)

M.skip = {
  usage = '[n]',
  text = 'play the next track',
  run = function(call)
    lofi.skip(tonumber(call.words[1]))
  end,
}

M.seek = {
  usage = '{seconds|m:ss|+n|-n}',
  text = 'go to a position, or by so many seconds',
  run = function(call)
    if not call.words[1] then
      error('lofi: say where: :Lofi seek 90, :Lofi seek 1:30 or :Lofi seek +10', 0)
    end
    lofi.seek(call.words[1])
  end,
  complete = function()
    return { '+10', '-10', '0' }
  end,
}

M.volume = {
  usage = '[0-100|+n|-n|mute]',
  text = 'show or set the volume, in percent',
  run = function(call)
    local word = call.words[1]
    if word == 'mute' then
      return lofi.mute()
    elseif word and word:find('^[+-]%d') then
      return lofi.volume(word)
    elseif word then
      local percent = tonumber((word:gsub('%%$', '')))
      if not percent or percent < 0 or percent > 100 then
        error(('lofi: volume takes 0 to 100, +n, -n or mute, not %s'):format(word), 0)
      end
      return lofi.volume(percent / 100)
    end
    lofi.volume(
      nil,
      answer.use(function(result)
        ui.notify(units.volume(result.level, result.muted))
      end)
    )
  end,
  complete = function()
    return { 'mute', '+10', '-10', '0', '25', '50', '75', '100' }
  end,
}

M.device = {
  usage = '[name]',
  text = 'play on another output; without a name, pick one',
  run = function(call)
    if call.rest ~= '' then
      return lofi.device(call.rest)
    end
    lofi.devices(function(err, result)
      if err then
        return ui.error(err)
      elseif #result.available == 0 then
        return ui.notify('there is no sound output here', vim.log.levels.WARN)
      end
      picker.pick(result.available, {
        prompt = 'Output',
        kind = 'lofi.device',
        line_of = function(device)
          local mark = device.name == result.current and '*' or ' '
          return mark .. ' ' .. device.name .. (device.is_default and ' (default)' or '')
        end,
      }, function(device)
        lofi.device(device.name)
      end)
    end)
  end,
  complete = choices.devices,
}

return M
