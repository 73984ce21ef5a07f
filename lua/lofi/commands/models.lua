---Subcommands about models on disk: verify, remove. Bringing them is `setup`.

local answer = require('lofi.answer')
local arguments = require('lofi.arguments')
local float = require('lofi.float')
local lofi = require('lofi')
local picker = require('lofi.picker')
local units = require('lofi.units')

---@type table<string, lofi.Subcommand>
local M = {}

local NAMES = { 'musicgen', 'ace-step', 'ace-step-1.5' }

---@param call lofi.Call
---@param what string
---@return string name
---@return table named
local function read(call, what)
  local words, named = arguments.named(call.rest)
  if not words[1] then
    local text = 'lofi: say which backend: :Lofi %s %s'
    error(text:format(what, table.concat(NAMES, ', :Lofi ' .. what .. ' ')), 0)
  end
  return words[1], named
end

---@param name string
---@param result { ok: boolean, files: table[] }
---@return lofi.float.Line[]
local function file_lines(name, result)
  local lines = {}
  for _, file in ipairs(result.files) do
    lines[#lines + 1] = {
      text = ('%s %-52s %8s  %s'):format(
        file.error and '✗' or '✓',
        file.name,
        units.size(file.bytes),
        file.error or ''
      ),
      group = file.error and 'LofiError' or nil,
    }
  end
  lines[#lines + 1] = {
    text = result.ok and 'every file is whole'
      or (':Lofi setup %s repair=true brings what is missing or broken'):format(name),
    group = result.ok and 'LofiPlaying' or 'LofiDim',
  }
  return lines
end

M.verify = {
  usage = '{backend} [deep=true] [variant=…]',
  text = "look whether a model's files are whole; deep reads all of them",
  run = function(call)
    local name, named = read(call, 'verify')
    lofi.verify(
      name,
      named,
      answer.use(function(result)
        float.show('lofi verify ' .. name, file_lines(name, result))
      end)
    )
  end,
  complete = function(words)
    return #words == 0 and NAMES or { 'deep=true', 'variant=' }
  end,
}

M.remove = {
  usage = '{backend} [variant=…]',
  text = "delete a model's files, after asking",
  run = function(call)
    local name, named = read(call, 'remove')
    picker.confirm(('Delete the files of %s?'):format(name), call.bang, function()
      lofi.remove_backend(name, named)
    end)
  end,
  complete = function(words)
    return #words == 0 and NAMES or { 'variant=' }
  end,
}

return M
