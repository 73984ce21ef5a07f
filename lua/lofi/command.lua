---`:Lofi`: finds the subcommand and completes it. The subcommands are in `lofi/commands/`.

local nearest = require('lofi.nearest')

local M = {}

---@class lofi.Call
---@field rest string What follows the subcommand, as typed
---@field words string[] The same, at blanks
---@field bang boolean
---@field range { first: integer, last: integer }?

---@class lofi.Subcommand
---@field usage string Arguments as help shows them
---@field text string What it does, in a few words
---@field run fun(call: lofi.Call)
---@field complete? fun(words: string[], lead: string): string[] The words before, and the one typed

local ROOMS = { 'music', 'player', 'library', 'system', 'setup', 'models', 'planning' }

---@type table<string, lofi.Subcommand>?
local subcommands

---Returns every subcommand by name.
---@return table<string, lofi.Subcommand>
function M.table()
  if not subcommands then
    subcommands = {}
    for _, room in ipairs(ROOMS) do
      subcommands = vim.tbl_extend('error', subcommands, require('lofi.commands.' .. room))
    end
  end
  return subcommands
end

---@return string[]
local function names()
  local list = vim.tbl_keys(M.table())
  table.sort(list)
  return list
end

---@param call lofi.Call
---@param name string
local function dispatch(call, name)
  if name == '' then
    return require('lofi.commands.bare').run(call)
  end
  local subcommand = M.table()[name]
  if subcommand then
    return subcommand.run(call)
  end
  local question = nearest.question(name, names(), 2)
  local hint = question ~= '' and question or ':Lofi <Tab> lists what there is.'
  require('lofi.ui').error({
    message = ('there is no subcommand "%s"'):format(name),
    hint = hint,
  })
end

---@param text string
---@param bang boolean
---@param range { first: integer, last: integer }?
local function run_text(text, bang, range)
  local name, rest = vim.trim(text):match('^(%S*)%s*(.*)$')
  local call = { rest = rest, words = vim.split(rest, '%s+', { trimempty = true }) }
  call.bang, call.range = bang, range
  local ok, trace = xpcall(dispatch, debug.traceback, call, name)
  if ok then
    return
  end
  local first = vim.split(trace, '\n')[1]
  -- Ours are sentences for people (`setup`, wrong arguments); others are faults of the program.
  local message = first:match('lofi: (.*)') or first
  require('lofi.log').write('error', ':Lofi %s: %s', name, trace)
  local hint = name == '' and ':help :Lofi' or (':help :Lofi-%s'):format(name)
  require('lofi.ui').error({ message = message, hint = hint })
end

---Runs `:Lofi`.
---@param call table As nvim_create_user_command gives it
function M.run(call)
  local range = call.range > 0 and { first = call.line1, last = call.line2 } or nil
  run_text(call.args, call.bang, range)
end

---Runs a subcommand given as text, for `<Plug>` keys.
---@param text string
function M.execute(text)
  run_text(text, false, nil)
end

---@param candidates string[]
---@param lead string
---@return string[]
local function matching(candidates, lead)
  return vim.tbl_filter(function(candidate)
    return vim.startswith(candidate:lower(), lead:lower())
  end, candidates)
end

---Completes `:Lofi`. Returns what is known; it never waits for the daemon.
---@param lead string
---@param line string
---@param position integer
---@return string[]
function M.complete(lead, line, position)
  local typed = line:sub(1, position):gsub('^.-%f[%a]Lofi!?%s*', '', 1)
  local words = vim.split(typed, '%s+', { trimempty = true })
  if lead ~= '' then
    table.remove(words)
  end
  if #words == 0 then
    return matching(names(), lead)
  end
  local subcommand = M.table()[table.remove(words, 1)]
  if not subcommand or not subcommand.complete then
    return {}
  end
  return matching(subcommand.complete(words, lead), lead)
end

return M
