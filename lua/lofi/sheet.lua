---A request as text in a buffer: `name: value` lines, a `---` line, the lyrics. What is written is
---read back as it was, so that the buffer makes exactly what the planner proposed.

local parameters = require('lofi.parameters')

local M = {}

local RULE = '---'
---The order people read them in; the rest follows by name.
local FIRST = {
  'prompt',
  'bpm',
  'keyscale',
  'timesignature',
  'duration_sec',
  'vocal_language',
  'instrumental',
  'seed',
  'backend',
}

---@param value any
---@return string
local function written(name, value)
  if type(value) == 'string' then
    -- As it is only where reading it back gives the same.
    local is_plain = not value:find('[%c]') and vim.trim(value) == value and value:sub(1, 1) ~= '"'
    is_plain = is_plain and value ~= '' and parameters.read(name, value) == value
    return is_plain and value or vim.json.encode(value)
  elseif type(value) == 'table' and vim.islist(value) then
    return table.concat(vim.tbl_map(tostring, value), ',')
  elseif type(value) == 'table' then
    return vim.json.encode(value)
  elseif type(value) == 'number' then
    return value % 1 == 0 and ('%d'):format(value) or ('%.17g'):format(value)
  end
  return tostring(value)
end

---@param request table
---@return string[]
local function names_of(request)
  local rest = {}
  for name in pairs(request) do
    if name ~= 'lyrics' and not vim.list_contains(FIRST, name) then
      rest[#rest + 1] = name
    end
  end
  table.sort(rest)
  local known = vim.tbl_filter(function(name)
    return request[name] ~= nil
  end, FIRST)
  return vim.list_extend(known, rest)
end

---Returns a request as lines.
---@param request lofi.Generate
---@param remark string Stands above it
---@return string[]
function M.write(request, remark)
  local lines = { '# ' .. remark }
  for _, name in ipairs(names_of(request)) do
    lines[#lines + 1] = ('%s: %s'):format(name, written(name, request[name]))
  end
  lines[#lines + 1] = RULE
  if request.lyrics and request.lyrics ~= '' then
    vim.list_extend(lines, vim.split(request.lyrics, '\n', { plain = true }))
  end
  return lines
end

---@param name string
---@param text string
---@return any
local function value_of(name, text)
  if text:sub(1, 1) == '"' then
    local ok, value = pcall(vim.json.decode, text)
    if ok then
      return value
    end
  end
  return parameters.read(name, text)
end

---Reads lines back into a request. Raises a sentence about the first line it cannot read.
---@param lines string[]
---@return lofi.Generate
function M.read(lines)
  local request = {} ---@type table<string, any>
  for index, line in ipairs(lines) do
    if line == RULE then
      request.lyrics = table.concat(lines, '\n', index + 1)
      return request
    end
    local name, text = line:match('^%s*([%a_][%w_]*)%s*:%s*(.-)%s*$')
    if name then
      request[name] = value_of(name, text)
    elseif not line:find('^%s*#') and line:find('%S') then
      error(('lofi: line %d is no "name: value": %s'):format(index, line), 0)
    end
  end
  return request
end

return M
