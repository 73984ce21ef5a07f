---`:checkhealth lofi`: what is here, what is missing, and what to do about it. Starts nothing; asks
---the living daemon, with a time limit.

local config = require('lofi.config')
local daemon = require('lofi.daemon')
local launch = require('lofi.launch')
local log = require('lofi.log')
local version = require('lofi.version')

local M = {}

local DOCTOR_LIMIT_MS = 5000
local PROGRAM_LIMIT_MS = 5000
local LATER = 'will be checked on first use'

local function check_neovim()
  vim.health.start('Neovim')
  local is_new_enough = vim.fn.has('nvim-0.10') == 1
  local text = 'Neovim ' .. tostring(vim.version())
  if is_new_enough then
    vim.health.ok(text)
  else
    vim.health.error(text .. ' is too old', { 'Install Neovim 0.10 or newer.' })
  end
end

local function check_configuration()
  vim.health.start('Configuration')
  local ok, message = pcall(config.get, 'daemon.shared')
  if ok then
    vim.health.ok('options are valid')
  else
    vim.health.error(tostring(message), { 'See :help lofi-config.' })
  end
end

---@param cmd string[]
---@return vim.SystemCompleted?
local function run(cmd)
  local ok, child = pcall(vim.system, cmd, { text = true, env = { PYTHONSAFEPATH = '1' } })
  return ok and child:wait(PROGRAM_LIMIT_MS) or nil
end

---@param python string
local function check_python(python)
  vim.health.start('Python')
  local script = table.concat({
    'import sys, importlib.util as u',
    'print("%d.%d.%d" % sys.version_info[:3])',
    'names = "msgpack numpy soundfile soxr miniaudio".split()',
    'print(" ".join(n for n in names if u.find_spec(n) is None))',
  }, '\n')
  local result = run({ python, '-c', script })
  if not result or result.code ~= 0 then
    return vim.health.error(python .. ' does not run', { 'Run :Lofi setup python.' })
  end
  local lines = vim.split(result.stdout, '\n')
  local major, minor = lines[1]:match('(%d+)%.(%d+)')
  if tonumber(major) == 3 and tonumber(minor) < 11 then
    local advice = { 'Run :Lofi setup python, or set daemon.python to a newer one.' }
    return vim.health.error(('Python %s is too old'):format(lines[1]), advice)
  end
  vim.health.ok(('Python %s: %s'):format(lines[1], python))
  if vim.trim(lines[2] or '') ~= '' then
    return vim.health.error('packages missing: ' .. lines[2], { 'Run :Lofi setup python.' })
  end
  vim.health.ok('packages are there')
end

---@param method string
---@param params table
---@param limit_ms integer
---@return any result
---@return lofi.Error? err
---@return number took_ms
local function ask(method, params, limit_ms)
  local started, is_done, err, result = vim.uv.hrtime(), false, nil, nil
  daemon.request(method, params, function(...)
    is_done = true
    err, result = ...
  end)
  vim.wait(limit_ms, function()
    return is_done
  end, 5)
  return result, err, (vim.uv.hrtime() - started) / 1e6
end

---@param item { level: string, message: string, advice: string[]? }
local function report(item)
  local levels = { ok = 'ok', info = 'info', warn = 'warn', error = 'error' }
  local level = levels[item.level] or 'info'
  if level == 'warn' or level == 'error' then
    vim.health[level](item.message, item.advice)
  elseif level == 'info' and item.advice and #item.advice > 0 then
    vim.health.info(item.message .. '. ' .. table.concat(item.advice, ' '))
  else
    vim.health[level](item.message)
  end
end

---@return boolean answers
local function check_connection()
  local pong, err, took_ms = ask('ping', {}, DOCTOR_LIMIT_MS)
  if not pong then
    local advice = { 'Run :Lofi daemon restart.' }
    vim.health.error(err and err.message or 'the daemon does not answer', advice)
    return false
  end
  vim.health.ok(('the daemon answers in %.0f ms, protocol %d'):format(took_ms, pong.protocol))
  if pong.version ~= version.plugin then
    local text = 'the daemon is version %s, the plugin %s'
    vim.health.warn(text:format(pong.version, version.plugin), { 'Run :Lofi daemon restart.' })
  end
  return true
end

---@return boolean answers
local function check_daemon()
  vim.health.start('Daemon')
  local found, err = launch.find()
  if not found then
    vim.health.warn(err.message, { err.hint })
  else
    vim.health.ok(('command: %s (%s)'):format(table.concat(found.cmd, ' '), found.source))
    for _, name in ipairs(found.missing) do
      vim.health.warn(name .. ' does not exist', { 'Correct or remove it.' })
    end
  end
  vim.health.info('log of the plugin: ' .. log.path())
  if daemon.is_running() then
    return check_connection()
  end
  vim.health.info('the daemon is not running here; the rest ' .. LATER)
  if found and found.python then
    check_python(found.python)
  end
  return false
end

local function check_with_doctor()
  local findings, why = ask('doctor', {}, DOCTOR_LIMIT_MS)
  if not findings then
    return vim.health.warn(why and why.message or 'the daemon takes long to look', { 'Try again.' })
  end
  for _, section in ipairs(findings.sections) do
    vim.health.start(section.title)
    for _, item in ipairs(section.items) do
      report(item)
    end
  end
end

---Whether a module can be loaded, without loading it.
---@param name string
---@return boolean
local function has_module(name)
  return #vim.api.nvim_get_runtime_file(('lua/%s.lua'):format(name), false) > 0
    or #vim.api.nvim_get_runtime_file(('lua/%s/init.lua'):format(name), false) > 0
end

local function check_integrations()
  vim.health.start('Integrations')
  if has_module('lualine') then
    vim.health.ok("lualine: add 'lofi' to a section")
  else
    vim.health.info('lualine is not installed; any statusline can show lofi.statusline()')
  end
  local channel = require('lofi.progress').channel()
  vim.health.info('progress is shown by: ' .. channel)
end

function M.check()
  check_neovim()
  check_configuration()
  if check_daemon() then
    check_with_doctor()
  end
  check_integrations()
end

return M
