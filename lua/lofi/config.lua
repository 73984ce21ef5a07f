---What the user wants: `vim.g.lofi` and `setup()`, checked; always whole and valid outside this
---file. Neither starts anything.

local nearest = require('lofi.nearest')
local options = require('lofi.options')

local M = {}

---@class lofi.Opts
---@field daemon? table
---@field model? table
---@field defaults? table<string, any> Parameters of `generate` for requests that leave them out
---@field presets? table<string, string|table>
---@field queue? table
---@field playback? table
---@field audio? table
---@field cache? table
---@field history? table
---@field ui? table

---Dotted keys that the user wrote; nil until first asked for.
---@type table<string, any>?
local written

---@param message string
local function fail(message)
  error('lofi: ' .. message, 0)
end

---@param value any
---@return string
local function shown(value)
  local text = vim.inspect(value, { newline = ' ', indent = '' })
  return #text <= 60 and text or text:sub(1, 57) .. '…'
end

---Every name that may stand at `prefix`: its options and the tables below it.
---@param prefix string
---@return string[]
local function names_below(prefix)
  local names = {} ---@type table<string, true>
  for _, option in ipairs(options.LIST) do
    if vim.startswith(option.key, prefix) then
      names[option.key:sub(#prefix + 1):match('^[^.]+')] = true
    end
  end
  if prefix == '' then
    names = vim.tbl_extend('error', names, options.FREE)
  end
  return vim.tbl_keys(names)
end

---@param key string
---@param value any
local function check_free(key, value)
  local table_name, name = key:match('^(%a+)%.(.+)$')
  if table_name == 'presets' and not vim.list_contains({ 'string', 'table' }, type(value)) then
    fail(('%s must be a prompt or a request table, got %s'):format(key, shown(value)))
  end
  local parameters = require('lofi.parameters')
  if table_name == 'defaults' and not parameters.TABLE[name] then
    local question = nearest.question(name, parameters.names())
    fail(('there is no option %s. %s'):format(key, question))
  end
end

---@param key string
---@param value any
local function check(key, value)
  local option = options.BY_KEY[key]
  if not option then
    local parent = key:match('^(.*%.)[^.]+$') or ''
    local names = vim.tbl_map(function(name)
      return parent .. name
    end, names_below(parent))
    fail(vim.trim(('there is no option %s. %s'):format(key, nearest.question(key, names))))
  elseif not options.accepts(option, value) then
    local allowed = options.describe(option)
    fail(('%s must be %s, got %s'):format(key, allowed, shown(value)))
  end
end

---Returns dotted keys of nested tables, each checked.
---@param opts table
---@param prefix? string
---@param flat? table<string, any>
---@return table<string, any>
local function flatten(opts, prefix, flat)
  prefix, flat = prefix or '', flat or {}
  for name, value in pairs(opts) do
    if type(name) ~= 'string' then
      fail(
        ('%s must hold names, got the item %s'):format(prefix == '' and 'options' or prefix, name)
      )
    end
    local key = prefix .. name
    local below = options.FREE[key] or #names_below(key .. '.') > 0
    if options.FREE[prefix:sub(1, -2)] then
      check_free(key, value)
      flat[key] = value
    elseif below and type(value) == 'table' then
      flatten(value, key .. '.', flat)
    elseif below then
      fail(('%s must be a table, got %s'):format(key, shown(value)))
    else
      check(key, value)
      flat[key] = value
    end
  end
  return flat
end

---Returns the dotted keys of `opts`.
---@param opts lofi.Opts
---@return table<string, any>
function M.check(opts)
  if type(opts) ~= 'table' then
    fail('options must be a table, got ' .. type(opts))
  end
  return flatten(opts)
end

---@return table<string, any>
local function user()
  if not written then
    written = {} -- before reading: an error must not come again with every call
    local global = vim.g.lofi
    if type(global) == 'function' then
      global = global()
    end
    if global ~= nil then
      written = M.check(global)
    end
  end
  return written
end

---Takes options on top of what there is. Returns the dotted keys that changed.
---@param opts? lofi.Opts
---@return table<string, any> changed
function M.setup(opts)
  local flat, changed = M.check(opts or {}), {}
  local now = user()
  for key, value in pairs(flat) do
    if not vim.deep_equal(now[key], value) then
      now[key] = value
      changed[key] = value
    end
  end
  return changed
end

---Returns what an option is now.
---@param key string Dotted
---@return any
function M.get(key)
  local value = user()[key]
  if value == nil and options.BY_KEY[key] then
    value = options.BY_KEY[key].default
  end
  return value
end

---Returns the values of a free table (`defaults`, `presets`).
---@param name 'defaults'|'presets'
---@return table<string, any>
function M.free(name)
  local values = {}
  for key, value in pairs(user()) do
    if vim.startswith(key, name .. '.') then
      values[key:sub(#name + 2)] = value
    end
  end
  return values
end

---Returns the dotted keys for the daemon: only what the user wrote, never a default.
---@param keys? table<string, any>
---@return table<string, any>
function M.for_daemon(keys)
  local sent = {}
  for key, value in pairs(keys or user()) do
    local option = options.BY_KEY[key]
    if not option or not option.is_local then
      sent[key] = (option and option.kind == 'path') and vim.fs.normalize(value) or value
    end
  end
  return sent
end

return M
