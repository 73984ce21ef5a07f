---The private Python environment below stdpath('data'): dependencies only, for the code runs from
---the plugin's own `python/` folder. Made by uv where there is uv, else by venv and pip.

local errors = require('lofi.errors')
local failure = require('lofi.failure')
local launch = require('lofi.launch')
local program = require('lofi.program')
local torch_build = require('lofi.torch_build')

local M = {}

---What the environment takes on disk.
M.SIZE_MB = 110
local NEEDED_MB = 300
local MIN_MINOR = 11
local MODULES = { 'msgpack', 'numpy', 'soundfile', 'soxr', 'miniaudio' }
local NEURAL_MODULES =
  { 'torch', 'transformers', 'safetensors', 'huggingface_hub', 'tokenizers', 'yaml' }
---Commands tried, in this order.
local PYTHONS = { 'python3', 'python', 'python3.14', 'python3.13', 'python3.12', 'python3.11' }
local MISMATCH_PATTERNS =
  { 'No matching distribution', 'No solution found', 'ResolutionImpossible' }

---@class lofi.environment.Options
---@field on_progress? fun(text: string) What is being done now
---@field on_note? fun(text: string) What turned out otherwise than announced
---@field folder? string Where to, in place of the managed environment's own folder
---@field torch? lofi.TorchBuild With it the packages of the neural models come too

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
  local result = program.run({ python, '-c', script })
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
  for _, name in ipairs(PYTHONS) do
    local version = vim.fn.executable(name) == 1 and version_of(name)
    if version and is_new_enough(version) then
      return name
    elseif version and not old then
      old, old_version = name, version
    end
  end
  if old then
    failure.raise('too_old', old, old_version)
  end
  failure.raise('no_python')
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
    failure.raise('no_space', folder, needed_mb, free_mb)
  end
end

---@param folder string
---@return boolean
local function has_pip(folder)
  return program.run({ launch.python_of(folder), '-m', 'pip', '--version' }).code == 0
end

---Whether the environment that is there will do; one whose making was interrupted will not.
---@param folder string
---@param uv string?
---@return boolean
local function is_whole(folder, uv)
  local python = launch.python_of(folder)
  local version = vim.fn.executable(python) == 1 and version_of(python)
  return version and is_new_enough(version) and (uv ~= nil or has_pip(folder)) or false
end

---@param folder string
local function clear_place(folder)
  local ok, reason = pcall(vim.fn.mkdir, vim.fs.dirname(folder), 'p')
  if not ok then
    failure.raise('not_writable', vim.fs.dirname(folder), (reason:gsub('^Vim:', '')))
  end
  vim.fn.delete(folder, 'rf')
end

---@param folder string
---@param uv string? Its path, where there is one
---@param say fun(text: string)
local function make(folder, uv, say)
  if is_whole(folder, uv) then
    return
  end
  clear_place(folder)
  if uv then
    say('making an environment with uv')
    local result = program.run({ uv, 'venv', '--quiet', '--python', '>=3.11', folder })
    return failure.check(result, 'not_made', folder)
  end
  local base = find_python()
  say('making an environment with ' .. vim.fn.fnamemodify(vim.fn.exepath(base), ':~'))
  local result = program.run({ base, '-m', 'venv', folder })
  if result.code ~= 0 then
    vim.fn.delete(folder, 'rf')
    if program.says(result.output, { 'ensurepip', 'No module named .?venv' }) then
      failure.raise('no_venv', base)
    end
    failure.check(result, 'not_made', folder)
  end
end

---@param folder string
---@param uv string?
---@return string[] cmd What installs into the environment
local function installer(folder, uv)
  local python = launch.python_of(folder)
  if uv then
    return { uv, 'pip', 'install', '--python', python }
  elseif not has_pip(folder) then
    failure.raise('no_pip')
  end
  return { python, '-m', 'pip', 'install', '--disable-pip-version-check', '--no-input' }
end

---Installs with the versions the tests ran with, or, where this Python has none of those, newer.
---@param cmd string[]
---@param packages string[]
---@param say fun(text: string)
---@return lofi.program.Run
local function install_pinned(cmd, packages, say)
  local function on_line(line)
    local name = line:match('^%s*Collecting ([%w_.-]+)') or line:match('^ %+ ([%w_.-]+)')
    if name then
      say('fetching ' .. name)
    elseif vim.startswith(line, 'Installing collected packages') then
      say('installing the packages')
    end
  end
  local constraints = vim.fs.joinpath(launch.plugin_folder(), 'constraints.txt')
  local pinned = vim.list_extend(vim.list_slice(cmd), { '-c', constraints })
  local result = program.run(vim.list_extend(pinned, packages), on_line)
  local is_mismatch = result.code ~= 0 and program.says(result.output, MISMATCH_PATTERNS)
  if is_mismatch and not failure.is_network(result) then
    say('the tested versions do not fit this Python; taking its newest')
    result = program.run(vim.list_extend(vim.list_slice(cmd), packages), on_line)
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
  if vim.list_contains(cmd, '--no-input') then
    -- pip; an index that cannot be reached is not waited for as long as one that can
    vim.list_extend(only, { '--timeout', '15', '--retries', '1' })
  end
  local torch = vim.tbl_filter(function(package)
    return vim.startswith(package, 'torch>')
  end, M.dependencies('neural'))
  if install_pinned(only, torch, say).code ~= 0 and options.on_note then
    local text = '%s is not to be had from %s; taking torch from the ordinary package index '
      .. '(on Linux that one has CUDA in it: several GB)'
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
  say('fetching the packages with ' .. (uv and 'uv' or 'pip'))
  failure.check(install_pinned(cmd, packages, say), 'not_installed', folder)
  say('checking')
  local imports = 'import ' .. table.concat(modules, ', ')
  failure.check(program.run({ launch.python_of(folder), '-c', imports }), 'not_working', folder)
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
      local result = program.run(vim.list_extend({ python, '-c', script }, NEURAL_MODULES))
      missing = result.code == 0 and vim.split(result.output, '%s+', { trimempty = true })
        or NEURAL_MODULES
    end
    local build
    if #missing > 0 then
      build = torch_build.choose(function()
        local result = vim.fn.executable('nvidia-smi') == 1 and program.run({ 'nvidia-smi' })
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
    local hint = 'It says when it is ready.'
    local busy = errors.new('BUSY', 'the environment is already being made', hint)
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
  local is_done, failed, text = false, nil, ''
  M.install({
    on_progress = function(words)
      text = words
    end,
  }, function(err)
    is_done, failed = true, err
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
  if failed then
    error(('lofi: %s\n%s'):format(failed.message, failed.hint), 0)
  end
end

return M
