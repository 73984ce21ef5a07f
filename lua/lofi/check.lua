---Wrong Lua types in a call are programming errors and raise at once.
---(`vim.validate` has no one form that both 0.10 and 0.12 like.)

local M = {}

---@param name string
---@param value any
---@param kinds string|string[] Names as `type()` gives them; end one with `?` to allow nil
function M.type(name, value, kinds)
  kinds = type(kinds) == 'string' and { kinds } or kinds --[[@as string[] ]]
  local words = {}
  for _, kind in ipairs(kinds) do
    local plain = kind:gsub('%?$', '')
    if type(value) == plain or (value == nil and plain ~= kind) then
      return
    end
    if plain == 'function' and vim.is_callable(value) then
      return
    end
    words[#words + 1] = plain
  end
  error(
    ('lofi: %s must be a %s, got a %s'):format(name, table.concat(words, ' or '), type(value)),
    3
  )
end

return M
