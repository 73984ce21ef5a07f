---The private Python environment below stdpath('data'): dependencies only, for the code runs from
---the plugin's own `python/` folder. Made by uv where there is uv, else by venv and pip.

local errors = require('lofi.errors')
local launch = require('lofi.launch')
local log = require('lofi.log')
local process = require('lofi.process')
local torch_build = require('lofi.torch_build')

local M = {}

---What the environment takes on disk.
M.SIZE_MB = 110
local NEEDED_MB = 300
local MIN_MINOR = 11
local MODULES = { 'msgpack', 'numpy', 'soundfile', 'soxr', 'miniaudio' }
local NEURAL_MODULES =
  { 'torch', 'transformers', 'safetensors', 'huggingface_hub', 'tokenizers', 'yaml' }
---How much of a failing program's output goes into the message.
local SHOWN_LINES = 3

---@class lofi.environment.Options
---@field on_progress? fun(text: string) What is being done now
---@field on_note? fun(text: string) What turned out otherwise than announced
---@field folder? string Where to, in place of the managed environment's own folder
---@field torch? lofi.TorchBuild With it the packages of the neural models come too

---@class lofi.environment.Run
---@field code integer
---@field output string stdout and stderr together

---Why an installation failed, with the hint for it; `data.reason` names the entry.
---@type table<string, { message: string, hint: string, code?: string }>
local FAILURES = {
  no_python = {
    message = 'there is no Python here',
    hint = 'Install Python 3.11 or newer, or uv (docs.astral.sh/uv), which brings its own.',
  },
  too_old = {
    message = '%s is Python %s; lofi needs 3.11 or newer',
    hint = 'Install a newer Python, or uv (docs.astral.sh/uv), which brings its own.',
  },
  no_venv = {
    message = "%s cannot make environments: its 'venv' or 'ensurepip' is missing",
    hint = 'Install it (Debian, Ubuntu: apt install python3-venv), or install uv.',
  },
  no_pip = {
    message = 'the new environment has no pip',
    hint = 'Install pip (Debian, Ubuntu: apt install python3-pip), or install uv.',
  },
  no_network = {
    message = 'the package index cannot be reached: %s',
    hint = 'Check the connection and run :Lofi setup python again. PIP_* and UV_* are honoured.',
  },
  no_space = {
    message = 'not enough disk space in %s: %d MB needed, %d MB free',
    hint = 'Free some space and run :Lofi setup python again.',
    code = 'INSUFFICIENT_DISK',
  },
  not_made = {
    message = 'the environment could not be made: %s',
    hint = 'The log (:Lofi log names it) has all of it.',
  },
  not_installed = {
    message = 'the packages could not be installed: %s',
    hint = 'The log (:Lofi log names it) has all of it.',
  },
  not_working = {
    message = 'the packages are there but do not load: %s',
    hint = 'Another Python may do: set LOFI_PYTHON or daemon.python, or install uv.',
  },
}

local NETWORK_WORDS = {
  'name resolution',
  'NewConnectionError',
  'Network is unreachable',
  'No route to host',
  'Connection refused',
  'timed out',
  'ConnectTimeout',
  'ProxyError',
  'CERTIFICATE',
  'SSLError',
  'dns error',
  'error sending request',
  'client error %(Connect%)',
  'Could not connect',
}
local MISMATCH_WORDS = { 'No matching distribution', 'No solution found', 'ResolutionImpossible' }

---@param text string
---@param words string[]
---@return boolean
local function has_any(text, words)
  return vim.iter(words):any(function(word)
    return text:find(word) ~= nil
  end)
end

---@param text string
---@return string
local function last_lines(text)
  local lines = vim.split(vim.trim(text), '\n', { trimempty = true })
  return table.concat(vim.list_slice(lines, math.max(1, #lines - SHOWN_LINES + 1)), ' | ')
end

---Ends the installation with a reason of `FAILURES`.
---@param reason string
---@param ... any For the message
local function fail(reason, ...)
  local failure = FAILURES[reason]
  local code = failure.code or 'DEPENDENCY_MISSING'
  error(errors.new(code, failure.message:format(...), failure.hint, { reason = reason }), 0)
end

---Runs a program to its end; only within the installation's coroutine.
---@param cmd string[]
---@param on_line? fun(line: string)
---@return lofi.environment.Run
local function run(cmd, on_line)
  local thread, output = coroutine.running(), {}
  local function take(chunk)
    output[#output + 1] = chunk
    for _, line in ipairs(on_line and vim.split(chunk, '[\r\n]+', { trimempty = true }) or {}) do
      on_line(line)
    end
  end
  log.write('info', 'setup: %s', table.concat(cmd, ' '))
  local child, reason = process.spawn({
    cmd = cmd,
    -- C: the messages are searched for words.
    env = { LC_ALL = 'C.UTF-8', PYTHONSAFEPATH = '1', PYTHONUNBUFFERED = '1' },
    on_stdout = take,
    on_stderr = take,
    on_exit = function(code, signal)
      coroutine.resume(thread, signal ~= 0 and 128 + signal or code)
    end,
  })
  if not child then
    return { code = 127, output = reason or '' }
  end
  child:close_stdin()
  local code = coroutine.yield()
  local text = table.concat(output)
  log.write(code == 0 and 'debug' or 'error', 'setup: status %d: %s', code, text)
  return { code = code, output = text }
end

---Returns dependencies that the plugin's own pyproject.toml names.
---@param extra? 'neural' Those of the neural models in place of the base
---@return string[]
function M.dependencies(extra)
  local path = vim.fs.joinpath(launch.plugin_folder(), 'pyproject.toml')
  local text = table.concat(vim.fn.readfile(path), '\n')
  local block = text:match(('\n%s%%s*=%%s*(%%b[])'):format(extra or 'dependencies')) or ''
  local names = {}
  for name in block:gmatch('"([^"]+)"') do
    names[#names + 1] = name
  end
  return names
end

---@param python string
---@return string? version `3.12`, nil when it does not run
local function version_of(python)
  local script = 'import sys; print("%d.%d" % sys.version_info[:2])'
  local result = run({ python, '-c', script })
  return result.code == 0 and result.output:match('(%d+%.%d+)') or nil
end

---@param version string
---@return boolean
local function is_new_enough(version)
  local major, minor = version:match('(%d+)%.(%d+)')
  return tonumber(major) > 3 or (tonumber(major) == 3 and tonumber(minor) >= MIN_MINOR)
end

---@return string python
local function find_python()
  local old, old_version
  for _, name in ipairs({ 'python3', 'python', 'python3.13', 'python3.12', 'python3.11' }) do
    local version = vim.fn.executable(name) == 1 and version_of(name)
    if version and is_new_enough(version) then
      return name
    elseif version and not old then
      old, old_version = name, version
    end
  end
  if old then
    fail('too_old', old, old_version)
  end
  fail('no_python')
  return '' -- not reached
end

---@param folder string
---@param needed_mb number
local function check_space(folder, needed_mb)
  local parent = folder
  while not vim.uv.fs_stat(parent) do
    parent = vim.fs.dirname(parent)
  end
  local stat = vim.uv.fs_statfs(parent)
  local free_mb = stat and stat.bavail * stat.bsize / 1e6
  if free_mb and free_mb < needed_mb then
    fail('no_space', folder, needed_mb, free_mb)
  end
end

---@param result lofi.environment.Run
---@param reason string
local function check(result, reason)
  if result.code == 0 then
    return
  elseif has_any(result.output, { 'No space left', 'ENOSPC', 'disk quota' }) then
    fail('no_space', M.SIZE_MB .. ' MB of packages', NEEDED_MB, 0)
  elseif has_any(result.output, NETWORK_WORDS) then
    fail('no_network', last_lines(result.output))
  end
  fail(reason, last_lines(result.output))
end

---@param folder string
---@param uv string? Its path, where there is one
---@param say fun(text: string)
local function make(folder, uv, say)
  local python = launch.python_of(folder)
  local version = vim.fn.executable(python) == 1 and version_of(python)
  if version and is_new_enough(version) then
    return
  end
  vim.fn.delete(folder, 'rf')
  vim.fn.mkdir(vim.fs.dirname(folder), 'p')
  if uv then
    say('making an environment with uv')
    return check(run({ uv, 'venv', '--quiet', '--python', '>=3.11', folder }), 'not_made')
  end
  local base = find_python()
  say('making an environment with ' .. vim.fn.exepath(base))
  local result = run({ base, '-m', 'venv', folder })
  if result.code ~= 0 then
    vim.fn.delete(folder, 'rf')
    if has_any(result.output, { 'ensurepip', 'No module named .?venv' }) then
      fail('no_venv', base)
    end
    check(result, 'not_made')
  end
end

---@param folder string
---@param uv string?
---@return string[] cmd What installs into the environment
local function installer(folder, uv)
  local python = launch.python_of(folder)
  if uv then
    return { uv, 'pip', 'install', '--python', python }
  elseif run({ python, '-m', 'pip', '--version' }).code ~= 0 then
    fail('no_pip')
  end
  return { python, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-input' }
end

---Installs with the versions the tests ran with, or, where this Python has none of those, newer.
---@param cmd string[]
---@param packages string[]
---@param say fun(text: string)
---@return lofi.environment.Run
local function install_pinned(cmd, packages, say)
  local function on_line(line)
    local name = line:match('^%s*Collecting ([%w_.-]+)') or line:match('^ %+ ([%w_.-]+)')
    if name then
      say('installing ' .. name)
    end
  end
  local constraints = vim.fs.joinpath(launch.plugin_folder(), 'constraints.txt')
  local pinned = vim.list_extend(vim.list_slice(cmd), { '-c', constraints })
  local result = run(vim.list_extend(pinned, packages), on_line)
  local is_mismatch = has_any(result.output, MISMATCH_WORDS)
  if result.code ~= 0 and is_mismatch and not has_any(result.output, NETWORK_WORDS) then
    say('the tested versions do not fit this Python; taking its newest')
    result = run(vim.list_extend(vim.list_slice(cmd), packages), on_line)
  end
  return result
end

---Brings torch from its own index, and nothing else from there: what it needs comes with the other
---packages, from where those come.
---@param cmd string[]
---@param build lofi.TorchBuild
---@param options lofi.environment.Options
local function install_torch(cmd, build, options)
  if not build.index then
    return
  end
  local say = options.on_progress or function() end
  say(('installing %s from %s'):format(build.name, build.index))
  local only = vim.list_extend(vim.list_slice(cmd), { '--no-deps', '--index-url', build.index })
  local torch = vim.tbl_filter(function(package)
    return vim.startswith(package, 'torch>')
  end, M.dependencies('neural'))
  if install_pinned(only, torch, say).code ~= 0 and options.on_note then
    local text = '%s is not to be had from %s; taking torch from the ordinary package index'
    options.on_note(text:format(build.name, build.index))
  end
end

---@param options lofi.environment.Options
local function install(options)
  local folder = options.folder or launch.venv()
  local say = options.on_progress or function() end
  local uv = vim.fn.executable('uv') == 1 and vim.fn.exepath('uv') or nil
  local modules, packages = MODULES, M.dependencies()
  check_space(folder, options.torch and options.torch.size_mb or NEEDED_MB)
  make(folder, uv, say)
  local cmd = installer(folder, uv)
  if options.torch then
    install_torch(cmd, options.torch, options)
    modules = vim.list_extend(vim.list_slice(MODULES), NEURAL_MODULES)
    vim.list_extend(packages, M.dependencies('neural'))
  end
  say('installing the packages with ' .. (uv and 'uv' or 'pip'))
  check(install_pinned(cmd, packages, say), 'not_installed')
  say('checking')
  local imports = 'import ' .. table.concat(modules, ', ')
  check(run({ launch.python_of(folder), '-c', imports }), 'not_working')
end

---Looks what a Python lacks for neural models, and which PyTorch would suit this machine.
---`callback` gets nil for the build when nothing is lacking.
---@param python string? nil: there is none yet
---@param callback fun(build: lofi.TorchBuild?, missing: string[])
function M.look(python, callback)
  local script = 'import sys, importlib.util as u; '
    .. 'print(*(n for n in sys.argv[1:] if u.find_spec(n) is None))'
  coroutine.wrap(function()
    local missing = NEURAL_MODULES
    if python then
      local result = run(vim.list_extend({ python, '-c', script }, NEURAL_MODULES))
      missing = result.code == 0 and vim.split(result.output, '%s+', { trimempty = true })
        or NEURAL_MODULES
    end
    local build
    if #missing > 0 then
      build = torch_build.choose(function()
        local result = vim.fn.executable('nvidia-smi') == 1 and run({ 'nvidia-smi' })
        return result and result.code == 0 and result.output or nil
      end)
    end
    vim.schedule(function()
      callback(build, missing)
    end)
  end)()
end

local is_installing = false

---Makes or brings up to date the environment. Returns at once.
---@param options lofi.environment.Options
---@param callback fun(err: lofi.Error?)
function M.install(options, callback)
  if is_installing then
    local busy = errors.new('DEPENDENCY_MISSING', 'the environment is already being made', '')
    return vim.schedule(function()
      callback(busy)
    end)
  end
  is_installing = true
  coroutine.wrap(function()
    local ok, err = pcall(install, options)
    is_installing = false
    if not ok and type(err) ~= 'table' then
      err = errors.new('DEPENDENCY_MISSING', tostring(err), ':Lofi log names the log.')
    end
    vim.schedule(function()
      callback(not ok and err or nil)
    end)
  end)()
end

---Makes the environment and returns when it is done; raises when that fails. For build steps of
---plugin managers, as |lofi-install| shows.
function M.build()
  local is_done, failure, text = false, nil, ''
  M.install({
    on_progress = function(words)
      text = words
    end,
  }, function(err)
    is_done, failure = true, err
  end)
  if package.loaded['lazy'] and coroutine.running() then
    while not is_done do
      coroutine.yield(text) -- lazy.nvim shows it, and comes back
    end
  else
    vim.wait(3600 * 1000, function()
      return is_done
    end, 50)
  end
  if failure then
    error(('lofi: %s\n%s'):format(failure.message, failure.hint), 0)
  end
end

return M
