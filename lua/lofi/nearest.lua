---Which known name a mistyped one was meant to be.

local M = {}

---@param a string
---@param b string
---@return integer edits Insertions, deletions, changes and swaps of neighbours
local function distance(a, b)
  local before, previous = {}, {}
  for column = 0, #b do
    previous[column] = column
  end
  for row = 1, #a do
    local current = { [0] = row }
    for column = 1, #b do
      local same = a:byte(row) == b:byte(column)
      current[column] = math.min(
        previous[column] + 1,
        current[column - 1] + 1,
        previous[column - 1] + (same and 0 or 1)
      )
      local swapped = row > 1
        and column > 1
        and a:byte(row) == b:byte(column - 1)
        and a:byte(row - 1) == b:byte(column)
      if swapped then
        current[column] = math.min(current[column], before[column - 2] + 1)
      end
    end
    before, previous = previous, current
  end
  return previous[#b]
end

---Returns the known names close to `name`, nearest first, at most `limit` (1).
---@param name string
---@param known string[]
---@param limit? integer
---@return string[]
function M.names(name, known, limit)
  local scored = {} ---@type { name: string, edits: number }[]
  for _, candidate in ipairs(known) do
    local edits = distance(name:lower(), candidate:lower()) ---@type number
    local is_start = #name >= 2 and vim.startswith(candidate, name)
    if is_start then
      edits = 0.5
    end
    if edits <= math.max(1, math.floor(math.max(#name, #candidate) / 3)) then
      scored[#scored + 1] = { name = candidate, edits = edits }
    end
  end
  table.sort(scored, function(a, b)
    return a.edits ~= b.edits and a.edits < b.edits or a.edits == b.edits and a.name < b.name
  end)
  local names = {}
  for index = 1, math.min(limit or 1, #scored) do
    names[index] = scored[index].name
  end
  return names
end

---Returns `Did you mean a or b?`, or the empty string.
---@param name string
---@param known string[]
---@param limit? integer
---@return string
function M.question(name, known, limit)
  local names = M.names(name, known, limit)
  return #names > 0 and ('Did you mean %s?'):format(table.concat(names, ' or ')) or ''
end

return M
