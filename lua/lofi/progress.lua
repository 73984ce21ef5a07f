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
---@field clear fun(outcome: lofi.progress.Outcome, text: string)
---@alias lofi.progress.Outcome 'success'|'failed'|'cancel'

local ID = 'lofi.progress'
local TITLE = 'lofi'
---What Neovim's own progress message puts before the text: `lofi:  45% `.
local NATIVE_CELLS = 11
local is_shown = false
local shown_at_ms = -math.huge
---What the notifier gave us to replace the message by.
local last_record

---@param text string
---@param status 'running'|lofi.progress.Outcome
---@param percent integer?
local function echo_native(text, status, percent)
  vim.api.nvim_echo({ { text } }, false, {
    id = ID,
    kind = 'progress',
    source = 'lofi',
    title = TITLE,
    status = status,
    percent = percent,
  })
end

---@param text string
---@param timeout false|integer
local function notify(text, timeout)
  last_record = vim.notify('lofi: ' .. text, vim.log.levels.INFO, {
    id = ID,
    title = TITLE,
    replace = last_record,
    timeout = timeout,
    hide_from_history = true,
  })
end

---@type table<string, lofi.progress.Channel>
local channels = {
  native = {
    show = function(text, percent)
      -- Neovim draws the percentage itself.
      local rest = text:gsub('%s?%d+%%,?', '', 1)
      echo_native(ui.fitting(rest, NATIVE_CELLS), 'running', percent)
    end,
    clear = function(outcome, text)
      echo_native(text, outcome, outcome == 'success' and 100 or nil)
      ui.clear_line() -- its last state would stay there
    end,
  },
  notify = {
    show = function(text)
      notify(text, false)
    end,
    clear = function(_, text)
      notify(text, 1000)
      last_record = nil
    end,
  },
  cmdline = {
    show = function(text)
      vim.api.nvim_echo({ { ui.fitting('lofi: ' .. text), 'LofiGenerating' } }, false, {})
    end,
    clear = ui.clear_line,
  },
}

---@return 'native'|'notify'|'cmdline'|'none'
function M.channel()
  local wanted = config.get('ui.progress')
  if wanted ~= 'auto' then
    return wanted
  elseif vim.fn.has('nvim-0.12') == 1 and ui.has_line() then
    return 'native'
  end
  return ui.has_notifier() and 'notify' or 'cmdline'
end

---What a phase is called; most of them say nothing to a person.
local WORDS = { loading = 'loading the model', planning = 'planning' }

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

---Shows a text where progress is shown, unless the place is taken or it was just drawn.
---@param text string
---@param percent integer?
---@param gap_ms integer
local function show(text, percent, gap_ms)
  local channel, now_ms = channels[M.channel()], vim.uv.hrtime() / 1e6
  local has_place = channel and (ui.has_line() or channel == channels.notify and ui.has_notifier())
  if has_place and ui.is_line_free() and now_ms - shown_at_ms >= gap_ms then
    is_shown, shown_at_ms = true, now_ms
    channel.show(text, percent or 0)
  end
end

local function show_job()
  local best = furthest()
  if best then
    show(text_of(best), best.percent, MIN_GAP_MS)
  end
end

---@param outcome lofi.progress.Outcome
---@param text string
local function clear(outcome, text)
  local channel = channels[M.channel()]
  if not is_shown or not channel or furthest() then
    return -- nothing to clear, or another of our tracks is being made
  end
  if ui.is_command_line_busy() then
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
  show(text, percent, percent and MIN_GAP_MS or 0)
end

---Takes that line away.
---@param is_success boolean
function M.done(is_success)
  clear(is_success and 'success' or 'failed', is_success and 'ready' or 'failed')
end

---A start that takes longer than this is told of.
local START_MS = 800
local is_starting = false

---Tells of a daemon that is slow to start: a cold disk, a busy machine.
function M.starting()
  is_starting = true
  vim.defer_fn(function()
    if is_starting then
      show('starting the daemon', nil, 0)
    end
  end, START_MS)
end

events.on('daemon_start', M.starting)
events.on('daemon_ready', function()
  is_starting = false
  clear('success', 'ready')
end)
events.on('daemon_exit', function()
  is_starting = false
end)

events.on('generation_start', show_job)
events.on('generation_progress', show_job)
for event, ending in pairs({
  generation_complete = { 'success', 'ready' },
  generation_error = { 'failed', 'failed' },
  generation_cancelled = { 'cancel', 'cancelled' },
  daemon_exit = { 'failed', 'the daemon ended' },
}) do
  events.on(event, function()
    clear(ending[1], ending[2])
  end)
end

return M
