---Progress of the tracks this editor asked for, in one place: Neovim's own progress messages,
---a notifier, or the command line. It vanishes when the job ends.

local config = require('lofi.config')
local events = require('lofi.events')
local job = require('lofi.job')
local ui = require('lofi.ui')

local M = {}

---At most two updates a second.
local MIN_GAP_MS = 500

---@class lofi.progress.Channel
---@field show fun(text: string, percent: integer)
---@field clear fun(outcome: 'success'|'failed'|'cancel', text: string)

local ID = 'lofi.progress'
local is_shown = false
local shown_at_ms = -math.huge
---What the notifier gave us to replace the message by.
local last_record

---@type table<string, lofi.progress.Channel>
local channels = {
  native = {
    show = function(text, percent)
      vim.api.nvim_echo({ { text } }, false, {
        id = ID,
        kind = 'progress',
        source = 'lofi',
        title = 'lofi',
        status = 'running',
        percent = percent,
      })
    end,
    clear = function(outcome, text)
      vim.api.nvim_echo({ { text } }, false, {
        id = ID,
        kind = 'progress',
        source = 'lofi',
        title = 'lofi',
        status = outcome,
        percent = outcome == 'success' and 100 or nil,
      })
      vim.api.nvim_echo({ { '' } }, false, {}) -- its last state would stay on the command line
    end,
  },
  notify = {
    show = function(text)
      last_record = vim.notify('lofi: ' .. text, vim.log.levels.INFO, {
        id = ID,
        title = 'lofi',
        replace = last_record,
        timeout = false,
        hide_from_history = true,
      })
    end,
    clear = function(_, text)
      vim.notify('lofi: ' .. text, vim.log.levels.INFO, {
        id = ID,
        title = 'lofi',
        replace = last_record,
        timeout = 1000,
        hide_from_history = true,
      })
      last_record = nil
    end,
  },
  cmdline = {
    show = function(text)
      vim.api.nvim_echo({ { 'lofi: ' .. text, 'LofiGenerating' } }, false, {})
    end,
    clear = function()
      vim.api.nvim_echo({ { '' } }, false, {})
    end,
  },
}

---@return 'native'|'notify'|'cmdline'|'none'
function M.channel()
  local wanted = config.get('ui.progress')
  if wanted ~= 'auto' then
    return wanted
  elseif vim.fn.has('nvim-0.12') == 1 then
    return 'native'
  end
  return ui.has_notifier() and 'notify' or 'cmdline'
end

---What a phase is called; most of them say nothing to a person.
local WORDS = { loading = 'loading the model', planning = 'planning' }

---Whether the person types on the command line or answers a prompt there.
---@return boolean
local function is_command_line_busy()
  return vim.api.nvim_get_mode().mode:find('^[cr]') ~= nil
end

---@param running lofi.Job
---@return string
local function text_of(running)
  local eta = running.eta_sec and (' (%d s)'):format(math.ceil(running.eta_sec)) or ''
  local plan = running.message and running.message ~= '' and ', ' .. running.message or ''
  return ('%s %d%%%s%s'):format(WORDS[running.phase] or 'generating', running.percent, eta, plan)
end

---@return lofi.Job? job The one of ours that is furthest
local function furthest()
  local best
  for _, running in ipairs(job.pending()) do
    if not running.is_quiet and running.status == 'generating' then
      best = (best and best.percent >= running.percent) and best or running
    end
  end
  return best
end

local function show()
  local channel = channels[M.channel()]
  local now_ms = vim.uv.hrtime() / 1e6
  if not channel or is_command_line_busy() or now_ms - shown_at_ms < MIN_GAP_MS then
    return
  end
  local best = furthest()
  if best then
    is_shown, shown_at_ms = true, now_ms
    channel.show(text_of(best), best.percent)
  end
end

---@param outcome 'success'|'failed'|'cancel'
---@param text string
local function clear(outcome, text)
  local channel = channels[M.channel()]
  if not is_shown or not channel or furthest() then
    return -- nothing to clear, or another of our tracks is being made
  end
  if is_command_line_busy() then
    return vim.defer_fn(function()
      clear(outcome, text)
    end, MIN_GAP_MS)
  end
  is_shown, shown_at_ms = false, -math.huge
  channel.clear(outcome, text)
end

---Shows a line of work that is not a track, such as an installation.
---@param text string
---@param percent? integer Of work that tells it often: at most two updates a second are shown
function M.say(text, percent)
  local channel = channels[M.channel()]
  local now_ms = vim.uv.hrtime() / 1e6
  local is_too_soon = percent and now_ms - shown_at_ms < MIN_GAP_MS
  if channel and not is_command_line_busy() and not is_too_soon then
    is_shown, shown_at_ms = true, now_ms
    channel.show(text, percent or 0)
  end
end

---Takes that line away.
---@param is_success boolean
function M.done(is_success)
  clear(is_success and 'success' or 'failed', is_success and 'ready' or 'failed')
end

events.on('generation_start', show)
events.on('generation_progress', show)
events.on('generation_complete', function()
  clear('success', 'ready')
end)
events.on('generation_error', function()
  clear('failed', 'failed')
end)
events.on('generation_cancelled', function()
  clear('cancel', 'cancelled')
end)
events.on('daemon_exit', function()
  clear('failed', 'the daemon ended')
end)

return M
