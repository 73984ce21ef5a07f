---The subcommand that brings Python and models onto the machine: guided, or told what to bring.

local acquisition = require('lofi.acquisition')
local answer = require('lofi.answer')
local arguments = require('lofi.arguments')
local choices = require('lofi.choices')
local installation = require('lofi.installation')
local launch = require('lofi.launch')
local lofi = require('lofi')
local models = require('lofi.models')
local options = require('lofi.options')
local picker = require('lofi.picker')
local state = require('lofi.state')
local units = require('lofi.units')

---@type table<string, lofi.Subcommand>
local M = {}

---What can be set up, in the order it is offered.
local NAMES = { 'python', 'musicgen', 'ace-step', 'ace-step-1.5' }
local PLANNERS = { '0.6b', '1.7b', '4b' }
local OPTIONS = { 'variant', 'lm', 'source', 'revision', 'repair' }
---Whether nobody looks: a script, whose terminal is ours. An embedded Neovim without a window talks
---to a program over that terminal, and is left to it.
---@return boolean
local function is_headless()
  return #vim.api.nvim_list_uis() == 0 and not vim.list_contains(vim.v.argv, '--embed')
end

---@param is_yes boolean
local function make_python(is_yes)
  if is_headless() and is_yes then
    return installation.run_headless()
  end
  picker.confirm(installation.question(), is_yes or installation.is_running(), installation.start)
end

---@param backend table As `get_backends` answers
---@return string
local function line_of(backend)
  local bytes = backend.download_bytes or 0
  local estimate = backend.estimate or {}
  local seconds, memory_mb = estimate.seconds_per_minute_of_audio, estimate.memory_mb
  return ('%-13s %8s  %-11s %-14s %-13s %s'):format(
    models.spelling(backend.type),
    backend.status == 'ready' and '' or units.size(bytes),
    seconds and (estimate.measured and '' or '~') .. units.left(seconds) .. '/min' or '',
    memory_mb and units.size(memory_mb * 1e6) .. ' memory' or '',
    backend.license or '',
    (backend.status:gsub('_', ' '))
  )
end

---@param backend table
---@param is_yes boolean
local function choose_planner(backend, is_yes)
  local items = { { text = 'without a planner' } }
  for _, planner in ipairs(backend.planners or {}) do
    items[#items + 1] = {
      name = planner.name,
      text = ('planner %-5s %8s  %s'):format(
        planner.name,
        units.size(planner.bytes),
        (planner.status:gsub('_', ' '))
      ),
    }
  end
  picker.pick(items, {
    prompt = 'It can plan tempo, key, lyrics and structure before it plays',
    kind = 'lofi.planner',
    line_of = function(item)
      return item.text
    end,
  }, function(item)
    acquisition.start(models.spelling(backend.type), { lm = item.name }, is_yes)
  end)
end

---Calls `use` once what the models cost here is known as well as it gets: the daemon lists them
---before it has measured the machine, and an estimate waits for that.
---@param use fun()
local function with_costs(use)
  for _, backend in ipairs(state.now.backends) do
    if backend.estimate and not backend.estimate.seconds_per_minute_of_audio then
      -- Whatever it answers, `backend_changed` has told by then.
      return lofi.estimate({ backend = backend.type, prompt = 'lofi' }, use)
    end
  end
  use()
end

---@param is_yes boolean
local function guide(is_yes)
  local function choose(backends)
    local items = { { text = 'python        the private Python environment' } }
    for _, name in ipairs(NAMES) do
      for _, backend in ipairs(backends) do
        if models.spelling(backend.type) == name then
          items[#items + 1] = { text = line_of(backend), backend = backend }
        end
      end
    end
    picker.pick(items, {
      prompt = 'Set up',
      kind = 'lofi.setup',
      line_of = function(item)
        return item.text
      end,
    }, function(item)
      local backend = item.backend
      if backend and #(backend.planners or {}) > 0 then
        choose_planner(backend, is_yes)
      elseif backend then
        acquisition.start(models.spelling(backend.type), {}, is_yes)
      else
        make_python(is_yes)
      end
    end)
  end
  if not launch.find() then
    return make_python(is_yes) -- without Python nobody is there to say what there is
  end
  lofi.get_backends(answer.use(function()
    with_costs(function()
      choose(state.now.backends)
    end)
  end))
end

---@param name string
---@return string[]
local function variants_of(name)
  for _, backend in ipairs(state.now.backends) do
    if models.spelling(backend.type) == name then
      return vim.tbl_map(function(variant)
        return variant.name
      end, backend.variants)
    end
  end
  return {}
end

M.setup = {
  usage = '[python|musicgen|ace-step|ace-step-1.5] [variant=…] [lm=…] [source=…]'
    .. ' [revision=…] [repair=true]',
  text = 'install Python or a model, after saying what it costs; ! answers yes',
  run = function(call)
    local words, named = arguments.named(call.rest)
    for option in pairs(named) do
      if not vim.list_contains(OPTIONS, option) then
        local text = 'lofi: setup takes variant=, lm=, source=, revision= and repair=, not %s='
        error(text:format(option), 0)
      end
    end
    local name = words[1]
    if not name and is_headless() and call.bang then
      name = 'python'
    end
    local is_known = not name
      or vim.list_contains(NAMES, name)
      or options.accepts(options.BY_KEY['model.backend'], name)
    if not is_known then
      error(('lofi: setup takes %s, not %s'):format(table.concat(NAMES, ', '), name), 0)
    elseif name == 'python' then
      make_python(call.bang)
    elseif not name then
      guide(call.bang)
    elseif is_headless() and call.bang then
      acquisition.run_headless(name, named)
    else
      acquisition.start(name, named, call.bang)
    end
  end,
  complete = function(words, lead)
    if #words == 0 then
      return NAMES
    end
    local name = words[1]
    if name == 'python' then
      return {}
    elseif vim.startswith(lead, 'variant=') then
      return vim.tbl_map(function(variant)
        return 'variant=' .. variant
      end, variants_of(name))
    elseif vim.startswith(lead, 'lm=') then
      return vim.tbl_map(function(size)
        return 'lm=' .. size
      end, PLANNERS)
    elseif vim.startswith(lead, 'source=') then
      return vim.tbl_map(function(path)
        return 'source=' .. path
      end, choices.files(lead:sub(#'source=' + 1)))
    end
    local names = { 'variant=', 'source=', 'revision=', 'repair=true' }
    if vim.startswith(name, 'ace-step-1.5') then
      table.insert(names, 2, 'lm=')
    end
    return names
  end,
}

return M
