---One JSON-RPC conversation: bytes, ids and who waits for them. It knows no process, buffer or
---window.

local errors = require('lofi.errors')

local M = {}

---@class lofi.rpc.Options
---@field write fun(line: string)
---@field on_notification fun(method: string, params: table)
---@field on_garbage fun(line: string)
---@field on_failure fun(trace: string) A callback raised

---@class lofi.rpc.Conn
---@field private options lofi.rpc.Options
---@field private waiting table<integer, lofi.Callback>
---@field private parts string[] What followed the last newline
---@field private last_id integer
local Conn = {}
Conn.__index = Conn

---@param options lofi.rpc.Options
---@return lofi.rpc.Conn
function M.new(options)
  return setmetatable({ options = options, waiting = {}, parts = {}, last_id = 0 }, Conn)
end

---@private
---@param message table
---@return lofi.Error? err Where JSON cannot hold what is in it; nothing was written then
function Conn:send(message)
  message.jsonrpc = '2.0'
  if message.params and next(message.params) == nil then
    message.params = vim.empty_dict() -- an empty Lua table would be written as a list
  end
  local ok, text = pcall(vim.json.encode, message)
  if not ok then
    local why = ('%s cannot be asked: %s'):format(message.method, text)
    return errors.new('INVALID_PARAMS', why, 'Only text, finite numbers, lists and tables can.')
  end
  self.options.write(text .. '\n')
end

---Sends a request; `callback(err, result)` is called once.
---@param method string
---@param params table?
---@param callback lofi.Callback
---@return integer id
function Conn:request(method, params, callback)
  self.last_id = self.last_id + 1
  local id = self.last_id
  self.waiting[id] = callback
  local err = self:send({ id = id, method = method, params = params })
  if err then
    vim.schedule(function()
      self:abandon(id, err)
    end)
  end
  return id
end

---Gives the caller of request `id` an error in place of the answer that did not come.
---@param id integer
---@param err lofi.Error
function Conn:abandon(id, err)
  self:answer(id, err, nil)
end

---Takes bytes as the pipe gave them: half a line, a line, or ten.
---@param chunk string
function Conn:feed(chunk)
  local start = 1
  while true do
    local stop = chunk:find('\n', start, true)
    if not stop then
      break
    end
    -- Pieces are joined once a line, so that a long one costs no repeated copying.
    table.insert(self.parts, chunk:sub(start, stop - 1))
    local line = table.concat(self.parts)
    self.parts = {}
    start = stop + 1
    self:take(line)
  end
  if start <= #chunk then
    table.insert(self.parts, chunk:sub(start))
  end
end

---@private
---@param line string
function Conn:take(line)
  if line:find('^%s*$') then
    return
  end
  local ok, message = pcall(vim.json.decode, line, { luanil = { object = true, array = true } })
  if not ok or type(message) ~= 'table' or message.jsonrpc ~= '2.0' then
    self.options.on_garbage(line)
  elseif message.method and message.id == nil then
    self:protect(self.options.on_notification, message.method, message.params or {})
  elseif message.id ~= nil and message.error then
    self:answer(message.id, errors.from_wire(message.error), nil)
  elseif message.id ~= nil then
    self:answer(message.id, nil, message.result)
  else
    self.options.on_garbage(line)
  end
end

---@private
---@param id any
---@param err lofi.Error?
---@param result any
function Conn:answer(id, err, result)
  local callback = self.waiting[id]
  if callback then
    self.waiting[id] = nil
    self:protect(callback, err, result)
  end
end

---@private
---@param callback fun(...)
function Conn:protect(callback, ...)
  local ok, trace = xpcall(callback, debug.traceback, ...)
  if not ok then
    self.options.on_failure(trace)
  end
end

---Ends the conversation: every caller still waiting hears why, in the order they asked.
---@param err lofi.Error
function Conn:close(err)
  local ids = vim.tbl_keys(self.waiting)
  table.sort(ids)
  for _, id in ipairs(ids) do
    self:answer(id, err, nil)
  end
end

return M
