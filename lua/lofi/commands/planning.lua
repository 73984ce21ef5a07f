---Subcommands of the planner: inspire, format, understand open what it proposes as a request in a
---scratch buffer; submit makes the track.

local answer = require('lofi.answer')
local arguments = require('lofi.arguments')
local choices = require('lofi.choices')
local lofi = require('lofi')
local sheet = require('lofi.sheet')
local ui = require('lofi.ui')

---@type table<string, lofi.Subcommand>
local M = {}

local REMARK = '<CR> or :Lofi submit makes this track; change it first if you like.'
local SAMPLING = { 'seed=', 'temperature=', 'top_k=', 'top_p=', 'lm_model=' }

---@param buffer integer
---@return boolean
local function is_sheet(buffer)
  return vim.b[buffer].lofi_request == true
end

---@param buffer integer
---@return lofi.Generate
local function request_in(buffer)
  return sheet.read(vim.api.nvim_buf_get_lines(buffer, 0, -1, false))
end

---@param buffer integer
local function submit(buffer)
  local ok, request = pcall(request_in, buffer)
  if not ok then
    return ui.error({ message = (tostring(request):gsub('^lofi: ', '')), hint = '' })
  end
  lofi.generate(request)
end

---@param plan lofi.Plan
---@param title string
local function open(plan, title)
  local request = vim.tbl_extend('keep', plan.request, { seed = plan.seed })
  local buffer = vim.api.nvim_create_buf(true, true)
  vim.api.nvim_buf_set_lines(buffer, 0, -1, false, sheet.write(request, REMARK))
  vim.api.nvim_buf_set_name(buffer, ('lofi://request/%d %s'):format(buffer, title))
  vim.bo[buffer].filetype = 'lofi'
  vim.bo[buffer].modified = false
  vim.b[buffer].lofi_request = true
  vim.keymap.set('n', '<CR>', function()
    submit(buffer)
  end, { buffer = buffer, desc = 'make this track' })
  vim.cmd.split()
  vim.api.nvim_win_set_buf(0, buffer)
end

---@param title string
---@return fun(err: lofi.Error?, plan: lofi.Plan?)
local function opening(title)
  return function(err, plan)
    if err and err.code == 'GENERATION_CANCELLED' then
      return ui.notify('cancelled')
    elseif err then
      return ui.error(err)
    end
    ui.when_free(function()
      open(plan --[[@as lofi.Plan]], title)
    end, title .. ' is ready; its window opens in Normal mode')
  end
end

---@param lead string
---@param names string[]
---@return string[]
local function completed(lead, names)
  local values = { 'lm_model=0.6b', 'lm_model=1.7b', 'lm_model=4b' }
  local truth = { 'instrumental=true', 'instrumental=false' }
  if vim.startswith(lead, 'lm_model=') then
    return values
  end
  return vim.startswith(lead, 'instrumental=') and truth or names
end

M.inspire = {
  usage = '{idea} [name=value…]',
  text = 'let the planner write a song from an idea',
  run = function(call)
    local words, named = arguments.named(call.rest)
    local idea = table.concat(words, ' ')
    if idea == '' then
      error('lofi: say what it should be about: :Lofi inspire a rainy Tuesday', 0)
    end
    lofi.inspire(idea, named, opening('inspire'))
  end,
  complete = function(_, lead)
    local names = vim.list_extend({ 'instrumental=', 'vocal_language=' }, SAMPLING)
    return completed(lead, names)
  end,
}

---What `format` takes of a request.
local FORMATTED =
  { 'prompt', 'lyrics', 'bpm', 'duration_sec', 'keyscale', 'timesignature', 'vocal_language' }

M.format = {
  usage = '[prompt…] [name=value…]',
  text = 'let the planner tidy a prompt and lyrics: the words, a range, or this request buffer',
  run = function(call)
    local params, preset = arguments.request(call.rest)
    if preset then
      error('lofi: format takes words, not a preset: :Lofi generate @' .. preset .. ' makes it', 0)
    end
    local buffer = vim.api.nvim_get_current_buf()
    if call.range then
      local lines = vim.api.nvim_buf_get_lines(buffer, call.range.first - 1, call.range.last, false)
      params.lyrics = table.concat(lines, '\n')
    elseif is_sheet(buffer) then
      local request = request_in(buffer)
      for _, name in ipairs(FORMATTED) do
        if params[name] == nil then
          params[name] = request[name]
        end
      end
    end
    if not params.prompt then
      error('lofi: say which prompt: :Lofi format {prompt}, or stand in a request buffer', 0)
    end
    lofi.format(params, opening('format'))
  end,
  complete = function(_, lead)
    local names = { 'bpm=', 'duration_sec=', 'keyscale=', 'timesignature=', 'vocal_language=' }
    return completed(lead, vim.list_extend(names, SAMPLING))
  end,
}

M.understand = {
  usage = '[id|path]',
  text = 'let the planner say what a piece of audio is; the current track without one',
  run = function(call)
    local source = call.rest ~= '' and call.rest or nil
    answer.with_track(source, nil, function(id)
      lofi.understand(id, opening('understand'))
    end)
  end,
  complete = function(_, lead)
    return vim.list_extend(choices.track_ids(), choices.files(lead))
  end,
}

M.submit = {
  usage = '',
  text = 'make the track of this request buffer',
  run = function()
    local buffer = vim.api.nvim_get_current_buf()
    if not is_sheet(buffer) then
      error('lofi: this is no request buffer; :Lofi inspire opens one', 0)
    end
    submit(buffer)
  end,
}

return M
