---The subcommand that makes the private Python environment.

local choices = require('lofi.choices')
local installation = require('lofi.installation')

---@type table<string, lofi.Subcommand>
local M = {}

M.setup = {
  usage = 'python',
  text = 'make the private Python environment; ! answers yes',
  run = function(call)
    local what = call.words[1] or 'python'
    if what ~= 'python' then
      error(('lofi: setup takes python, not %s'):format(what), 0)
    end
    local is_headless = #vim.api.nvim_list_uis() == 0
    if is_headless and call.bang then
      return installation.run_headless()
    end
    choices.confirm(installation.question(), call.bang, installation.start)
  end,
  complete = function(words)
    return #words == 0 and { 'python' } or {}
  end,
}

return M
