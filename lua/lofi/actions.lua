---Subcommands whose first word says what to do: `:Lofi queue clear`, `:Lofi daemon restart`.

local nearest = require('lofi.nearest')

local M = {}

---@class lofi.Actions
---@field name string
---@field usage string
---@field text string
---@field actions table<string, fun(call: lofi.Call)>
---@field bare fun(call: lofi.Call) Without a word
---@field complete? fun(words: string[], lead: string): string[] What follows the word

---Returns the subcommand.
---@param options lofi.Actions
---@return lofi.Subcommand
function M.of(options)
  local names = vim.tbl_keys(options.actions)
  table.sort(names)
  return {
    usage = options.usage,
    text = options.text,
    run = function(call)
      local word = call.words[1]
      local action = word and options.actions[word] or not word and options.bare
      if action then
        return action(call)
      end
      local allowed = table.concat(names, ', ', 1, #names - 1) .. ' or ' .. names[#names]
      local question = nearest.question(word, names)
      local text = 'lofi: %s takes %s, not %s. %s'
      error(vim.trim(text:format(options.name, allowed, word, question)), 0)
    end,
    complete = function(words, lead)
      if #words == 0 then
        return names
      end
      return options.complete and options.complete(words, lead) or {}
    end,
  }
end

return M
