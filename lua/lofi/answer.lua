---How results reach a caller: by callback, or, where there is none, by what the person sees.

local daemon = require('lofi.daemon')
local errors = require('lofi.errors')
local state = require('lofi.state')
local ui = require('lofi.ui')

local M = {}

---Returns the callback to use in place of an optional one: errors are shown, and `say` may turn
---the result into a sentence.
---@param callback? lofi.Callback
---@param say? fun(result: any): string?
---@return lofi.Callback
function M.to(callback, say)
  return callback
    or function(err, result)
      if err then
        return ui.error(err)
      end
      local text = say and say(result)
      if text then
        ui.notify(text)
      end
    end
end

---Returns a callback that shows what went wrong, else hands on the result.
---@param take fun(result: any)
---@return lofi.Callback
function M.use(take)
  return M.to(nil, function(result)
    take(result)
  end)
end

---@param method string
---@param params? table
---@param callback? lofi.Callback
---@param say? fun(result: any): string?
function M.ask(method, params, callback, say)
  daemon.request(method, params, M.to(callback, say))
end

---Calls `use(track_id)` with the given track, else the current one, else the newest.
---@param track_id? string
---@param callback? lofi.Callback Gets the error when there is no track at all
---@param use fun(track_id: string)
function M.with_track(track_id, callback, use)
  local current = track_id or state.now.playback.track_id
  if current then
    return use(current)
  end
  daemon.request('cache_list', { limit = 1 }, function(err, result)
    local newest = not err and result.tracks[1]
    if newest then
      return use(newest.track_id)
    end
    err = err or errors.new('NOTHING_TO_PLAY', 'there is no track yet', 'Run :Lofi generate.')
    M.to(callback)(err)
  end)
end

---Returns an absolute path: the daemon has no directory of ours.
---@param path string
---@return string
function M.absolute(path)
  local full = vim.fs.normalize(vim.fn.fnamemodify(vim.fn.expand(path), ':p'))
  return full
end

return M
