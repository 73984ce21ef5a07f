---Subcommands that make music: generate, prompt, cancel, queue.

local actions = require('lofi.actions')
local answer = require('lofi.answer')
local arguments = require('lofi.arguments')
local choices = require('lofi.choices')
local daemon = require('lofi.daemon')
local float = require('lofi.float')
local generate = require('lofi.generate')
local lofi = require('lofi')
local models = require('lofi.models')
local parameters = require('lofi.parameters')
local picker = require('lofi.picker')
local planning = require('lofi.planning')
local state = require('lofi.state')
local ui = require('lofi.ui')

---@type table<string, lofi.Subcommand>
local M = {}

---What `:Lofi prompt` offers to edit.
local last_prompt = ''

---@param job table The daemon's answer
local function say_queued(job)
  if job.status == 'queued' and (job.position or 0) > 0 then
    local eta = job.eta_sec and (', about %d s'):format(math.ceil(job.eta_sec)) or ''
    local before = job.position == 1 and '1 job before it' or job.position .. ' jobs before it'
    ui.notify(('queued, %s%s'):format(before, eta))
  end
end

---@param params lofi.Generate
---@param preset? string
local function start(params, preset)
  params.on_queued = say_queued
  if preset then
    return generate.start_preset(preset, params)
  end
  lofi.generate(params)
end

M.generate = {
  usage = '[@preset] [prompt…] [seconds] [name=value…]',
  text = 'make a track; with a range the lines are the lyrics',
  run = function(call)
    local params, preset = arguments.request(call.rest)
    if call.range then
      local lines = vim.api.nvim_buf_get_lines(0, call.range.first - 1, call.range.last, false)
      params.lyrics = table.concat(lines, '\n')
    end
    last_prompt = params.prompt or last_prompt
    start(params, preset)
  end,
  complete = function(words, lead)
    local name = lead:match('^([%a_][%w_]*)=')
    if name then
      return vim.tbl_map(function(value)
        return name .. '=' .. value
      end, parameters.values(name))
    end
    local given = {} ---@type table<string, true>
    for _, word in ipairs(words) do
      given[word:match('^([%a_]+)=') or ''] = true
    end
    local found = #words == 0 and choices.presets() or {}
    for _, known in ipairs(parameters.names()) do
      if not given[known] and known ~= 'prompt' then
        found[#found + 1] = known .. '='
      end
    end
    if #words == 0 then
      vim.list_extend(found, choices.prompts())
    end
    return found
  end,
}

M.prompt = {
  usage = '',
  text = 'ask for a prompt, then make a track',
  run = function()
    vim.ui.input({ prompt = 'Music: ', default = last_prompt }, function(text)
      if text and vim.trim(text) ~= '' then
        last_prompt = text
        start(arguments.request(text))
      end
    end)
  end,
}

M.cancel = {
  usage = '[id|backend]',
  text = 'stop making a track, else a planning, else a download',
  run = function(call)
    local what, operation, downloading = call.words[1], planning.current(), models.downloading()
    if what and vim.list_contains(downloading, what) then
      return lofi.download_cancel(what)
    elseif what or lofi.is_generating() then
      return lofi.cancel(what)
    elseif operation then
      return operation:cancel()
    elseif #downloading > 0 then
      return lofi.download_cancel()
    end
    lofi.cancel()
  end,
  complete = function(words)
    return #words == 0 and vim.list_extend(choices.job_ids(), models.downloading()) or {}
  end,
}

---@return lofi.float.Line[]
local function queue_lines()
  local queue, lines = state.now.queue, {}
  local running = queue.running or { queue.current }
  for _, job in ipairs(running) do
    local now = state.now.generations[job.track_id] or job
    lines[#lines + 1] = {
      text = ('%3d%%  %s  %s'):format(now.percent or 0, job.track_id:sub(1, 8), job.prompt or ''),
      group = 'LofiGenerating',
    }
  end
  for _, job in ipairs(type(queue.pending) == 'table' and queue.pending or {}) do
    lines[#lines + 1] = {
      text = ('%3d.  %s  %s'):format(job.position, job.track_id:sub(1, 8), job.prompt or ''),
    }
  end
  if #lines == 0 then
    lines[1] = { text = 'nothing is being made', group = 'LofiDim' }
  end
  if queue.paused then
    lines[#lines + 1] = { text = 'paused; :Lofi queue resume goes on', group = 'LofiPaused' }
  end
  return lines
end

---Asks for the queue once more; the window shows the answer when it is drawn next.
---@return lofi.float.Line[]
local function draw_queue()
  if daemon.is_running() then -- a window left open starts none
    daemon.request('queue_status')
  end
  return queue_lines()
end

M.queue = actions.of({
  name = 'queue',
  usage = '[clear|pause|resume|move {id} {position}]',
  text = 'show what is being made, or change it',
  bare = function()
    lofi.queue(answer.use(function()
      float.open({ title = 'lofi queue', draw = draw_queue, every_ms = 500 })
    end))
  end,
  actions = {
    clear = function(call)
      picker.confirm('Remove all waiting jobs?', call.bang, function()
        lofi.queue_clear()
      end)
    end,
    pause = function()
      lofi.queue_pause()
    end,
    resume = function()
      lofi.queue_resume()
    end,
    move = function(call)
      local id, position = call.words[2], tonumber(call.words[3])
      if not id or not position then
        error('lofi: say which and where: :Lofi queue move {id} {position}', 0)
      end
      lofi.queue_move(id, position)
    end,
  },
  complete = function(words)
    return words[1] == 'move' and #words == 1 and choices.job_ids() or {}
  end,
})

return M
