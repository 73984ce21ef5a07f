---How a person types a request after `:Lofi generate`: a preset, words, `name=value`, seconds.

local parameters = require('lofi.parameters')

local M = {}

---Splits at blanks. A quote opens only at the start of a word or after `=`, and only when it is
---closed, so that `don't` and `80's` are words.
---@param text string
---@return { text: string, is_quoted: boolean }[]
function M.split(text)
  local words, at = {}, 1
  while true do
    at = text:find('%S', at)
    if not at then
      return words
    end
    local name, quote = text:match('^([%w_.]+=)(["\'])', at)
    name, quote = name or '', quote or text:match('^["\']', at)
    local opening = at + #name
    local closing = quote and text:find(quote, opening + 1, true)
    if closing and text:find('^%s', closing + 1) or closing == #text then
      words[#words + 1] = {
        text = name .. text:sub(opening + 1, closing - 1),
        is_quoted = name == '',
      }
      at = closing + 1
    else
      local stop = text:find('%s', at) or #text + 1
      words[#words + 1] = { text = text:sub(at, stop - 1), is_quoted = false }
      at = stop
    end
  end
end

---Reads the arguments of `generate`. Names nobody knows are passed on: the daemon names the
---nearest.
---@param text string
---@return table params
---@return string? preset
function M.request(text)
  local params, prompt, preset = {}, {}, nil
  for index, word in ipairs(M.split(text)) do
    local name, value = word.text:match('^([%a_][%w_]*)=(.*)$')
    if not word.is_quoted and index == 1 and word.text:find('^@.') then
      preset = word.text:sub(2)
    elseif not word.is_quoted and name then
      params[name] = parameters.read(name, value)
    else
      prompt[#prompt + 1] = word
    end
  end
  local last = prompt[#prompt]
  local seconds = last and not last.is_quoted and parameters.number(last.text)
  if seconds and params.duration_sec == nil then
    params.duration_sec = seconds
    prompt[#prompt] = nil
  end
  if #prompt > 0 then
    params.prompt = table.concat(
      vim.tbl_map(function(word)
        return word.text
      end, prompt),
      ' '
    )
  end
  return params, preset
end

---Reads `name=value` words into a table, the others into a list.
---@param text string
---@return string[] words
---@return table<string, any> named
function M.named(text)
  local words, named = {}, {}
  for _, word in ipairs(M.split(text)) do
    local name, value = word.text:match('^([%a_][%w_]*)=(.*)$')
    if name and not word.is_quoted then
      local truth = ({ ['true'] = true, ['false'] = false })[value]
      named[name] = truth == nil and (parameters.number(value) or value) or truth
    else
      words[#words + 1] = word.text
    end
  end
  return words, named
end

return M
