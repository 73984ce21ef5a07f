---Bringing a model onto the machine as the person sees it: what runs it first, then what it costs,
---a yes, progress, the end.

local installation = require('lofi.installation')
local models = require('lofi.models')
local picker = require('lofi.picker')
local ui = require('lofi.ui')
local units = require('lofi.units')

local M = {}

---How far a download is told of where nobody looks: every so many percent.
local STEP_PERCENT = 10

---@param estimate table? As backends carry it
---@return string[] lines What the model asks of this machine
local function cost_lines(estimate)
  local lines = {}
  local seconds = estimate and estimate.seconds_per_minute_of_audio
  if seconds then
    local text = 'time     %s%s for a minute of music on this machine'
    lines[1] = text:format(estimate.measured and '' or 'about ', units.left(seconds))
  end
  if estimate and estimate.memory_mb then
    lines[#lines + 1] = ('memory   %s'):format(units.size(estimate.memory_mb * 1e6))
  end
  return lines
end

---@param facts table `data` of `DOWNLOAD_CONSENT_REQUIRED`
---@param message string
---@return string
local function question(facts, message)
  local from = facts.source == 'huggingface' and 'huggingface.co' or facts.source
  local lines = {
    message,
    ('size     %s, %d files'):format(units.size(facts.bytes_total), facts.files_total),
    ('licence  %s'):format(facts.license),
    ('from     %s'):format(from),
    ('to       %s (%s free)'):format(facts.path, units.size(facts.free_bytes)),
  }
  vim.list_extend(lines, cost_lines(facts.estimate))
  lines[#lines + 1] = 'Download it? It can be stopped and goes on where it was.'
  return table.concat(lines, '\n')
end

---Brings a model and what runs it. `callback` comes at the end, not after a no.
---@param name string
---@param opts lofi.SetupOpts
---@param is_yes boolean
---@param callback lofi.Callback
local function bring(name, opts, is_yes, callback)
  local function ask()
    opts.consent = is_yes or nil
    models.setup_backend(name, opts, function(err, result)
      if not err or err.code ~= 'DOWNLOAD_CONSENT_REQUIRED' then
        return callback(err, result)
      end
      picker.confirm(question(err.data, err.message), false, function()
        opts.consent = true
        models.setup_backend(name, opts, callback)
      end)
    end)
  end
  ---Looks for what is wrong first: only that is brought again.
  local function repair()
    local looked_for = { variant = opts.variant, deep = true }
    models.verify(name, looked_for, function(err, result)
      if err or result.ok then
        return callback(err, { already_installed = true, is_whole = true })
      end
      opts.components = models.broken_components(result.files)
      ask()
    end)
  end
  installation.prepare(is_yes, function(err)
    if err then
      return callback(err)
    end
    if opts.repair then
      return repair()
    end
    ask()
  end)
end

---@param name string
---@param result table
---@return string
local function ending(name, result)
  if result.is_whole then
    return name .. ' is whole, nothing to repair'
  elseif result.already_installed then
    return name .. ' is installed already'
  end
  return ('%s is installed in %s'):format(name, result.path)
end

---Brings a model where nobody is there to ask or to wait: blocks until done, and a failure ends
---the editor with status 1.
---@param name string
---@param opts lofi.SetupOpts
function M.run_headless(name, opts)
  local told, is_done, failure, result = -STEP_PERCENT, false, nil, nil
  opts.on_progress = function(data)
    if data.overall_percent >= told + STEP_PERCENT then
      told = data.overall_percent - data.overall_percent % STEP_PERCENT
      io.stdout:write(models.line_of(data) .. '\n')
      io.stdout:flush()
    end
  end
  bring(name, opts, true, function(err, found)
    is_done, failure, result = true, err, found
  end)
  vim.wait(7 * 24 * 3600 * 1000, function()
    return is_done
  end, 50)
  if result then
    return installation.report(true, 'lofi: ' .. ending(name, result))
  end
  local message = failure and ('%s\n%s'):format(failure.message, failure.hint) or 'interrupted'
  installation.report(false, 'lofi: ' .. message)
end

---Brings a model while the person goes on working.
---@param name string
---@param opts lofi.SetupOpts
---@param is_yes boolean Answers for the person
function M.start(name, opts, is_yes)
  bring(name, opts, is_yes, function(err, result)
    if err and err.code == 'GENERATION_CANCELLED' then
      return ui.notify(err.message .. '. ' .. err.hint)
    elseif err then
      return ui.error(err)
    end
    ui.notify(ending(name, result))
  end)
end

return M
