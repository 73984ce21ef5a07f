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
    'Download it? It can be stopped and goes on where it was.',
  }
  return table.concat(lines, '\n')
end

---Brings a model and what runs it. `callback` comes at the end, not after a no.
---@param name string
---@param opts lofi.SetupOpts
---@param is_yes boolean
---@param callback lofi.Callback
local function bring(name, opts, is_yes, callback)
  local function fetch()
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
  installation.prepare(is_yes, function(err)
    if err then
      return callback(err)
    end
    fetch()
  end)
end

---@param name string
---@param result table
---@return string
local function ending(name, result)
  if result.already_installed then
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
