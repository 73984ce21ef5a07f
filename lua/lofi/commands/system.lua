---Subcommands about the machinery: backends, status, daemon, log, config, doctor, help.

local acquisition = require('lofi.acquisition')
local actions = require('lofi.actions')
local answer = require('lofi.answer')
local daemon = require('lofi.daemon')
local float = require('lofi.float')
local launch = require('lofi.launch')
local lofi = require('lofi')
local models = require('lofi.models')
local options = require('lofi.options')
local parameters = require('lofi.parameters')
local picker = require('lofi.picker')
local state = require('lofi.state')
local ui = require('lofi.ui')
local units = require('lofi.units')

---@type table<string, lofi.Subcommand>
local M = {}

---@return lofi.float.Line[]
local function backend_lines()
  local lines = {}
  for _, backend in ipairs(state.now.backends) do
    local is_default = backend.type == state.now.default_backend
    local note = backend.loaded and 'loaded' or ''
    local download = state.now.downloads[backend.type]
    if download and download.overall_percent then
      note = ('⇣ %d%%'):format(download.overall_percent)
    elseif backend.status ~= 'ready' and (backend.download_bytes or 0) > 0 then
      note = units.size(backend.download_bytes)
    end
    lines[#lines + 1] = {
      text = ('%s %-13s %-20s %-13s %3d..%d s  %s'):format(
        is_default and '*' or ' ',
        backend.type,
        backend.name,
        backend.status,
        backend.min_duration_sec,
        backend.max_duration_sec,
        note
      ),
      group = backend.status == 'ready' and 'LofiPlaying' or 'LofiDim',
      value = backend,
    }
  end
  return lines
end

M.backends = {
  usage = '',
  text = 'what makes music here; <CR> chooses, i installs',
  run = function()
    lofi.get_backends(answer.use(function()
      float.open({
        title = 'lofi backends',
        draw = backend_lines,
        every_ms = 1000,
        keys = {
          {
            key = '<CR>',
            text = 'make it the default',
            act = function(line)
              lofi.backend(line.value.type)
            end,
          },
          {
            key = 'i',
            text = 'install it',
            act = function(line)
              acquisition.start(models.spelling(line.value.type), {}, false)
            end,
          },
        },
      })
    end))
  end,
}

---Asks anew; the window shows the answer when it is drawn next.
---@return lofi.float.Line[]
local function draw_status()
  if daemon.is_running() then -- a window left open starts none
    daemon.request('status')
  end
  local playback, generation = state.now.playback, state.generating()
  local status = state.now.status or {}
  local groups = { playing = 'LofiPlaying', paused = 'LofiPaused', stopped = 'LofiStopped' }
  local lines = { { text = playback.state, group = groups[playback.state] } }
  if playback.state ~= 'stopped' then
    lines[1].text = ('%s  %s / %s  %s'):format(
      playback.state,
      units.clock(state.position_sec()),
      units.clock(playback.duration_sec),
      playback.title or ''
    )
  end
  local volume = units.volume(playback.volume, playback.muted)
  lines[#lines + 1] = { text = ('%s, output %s'):format(volume, playback.device or 'none') }
  if generation then
    lines[#lines + 1] = {
      text = ('generating %d%%  %s'):format(generation.percent, generation.prompt or ''),
      group = 'LofiGenerating',
    }
  end
  local model = status.model or {}
  if model.backend then
    local device = model.device and ' on ' .. model.device or ''
    local where = model.loaded and device or ', not loaded'
    lines[#lines + 1] =
      { text = ('model %s %s%s'):format(model.backend, model.variant or '', where) }
  end
  lines[#lines + 1] = {
    text = ('cache %s, %.1f MB'):format(
      units.count(status.cache_count or 0, 'track'),
      status.cache_size_mb or 0
    ),
  }
  local own = status.daemon
  if own then
    lines[#lines + 1] = {
      text = ('daemon %s, pid %d, %s'):format(
        own.version,
        own.pid,
        units.count(own.clients or 1, 'client')
      ),
      group = 'LofiDim',
    }
  end
  return lines
end

M.status = {
  usage = '',
  text = 'what plays, what is made, what is loaded',
  run = function()
    lofi.status(answer.use(function()
      float.open({ title = 'lofi', draw = draw_status, every_ms = 500 })
    end))
  end,
}

---@param info table Of the daemon
local function say_running(info)
  ui.notify(('daemon %s runs, pid %d'):format(info.version, info.pid))
end

local function daemon_status()
  local info = state.now.daemon
  if not daemon.is_running() or not info then
    return ui.notify('the daemon is not running here; the first command starts it')
  end
  ui.notify(('daemon %s, pid %d, Python %s'):format(info.version, info.pid, info.python))
end

M.daemon = actions.of({
  name = 'daemon',
  usage = '[start|stop|restart|status]',
  text = 'the daemon itself; stop ends it for every editor, after asking',
  bare = daemon_status,
  actions = {
    status = daemon_status,
    start = function()
      daemon.start(answer.use(say_running))
    end,
    restart = function()
      daemon.restart(answer.use(say_running))
    end,
    stop = function(call)
      picker.confirm('Stop the daemon for every editor?', call.bang, function()
        daemon.stop({}, function()
          ui.notify('the daemon was stopped')
        end)
      end)
    end,
  },
})

M.log = {
  usage = '[debug|info|warn|error]',
  text = "the daemon's log in a split, as it grows",
  run = function(call)
    require('lofi.logview').open(call.words[1])
  end,
  complete = function(words)
    return #words == 0 and { 'debug', 'info', 'warn', 'error' } or {}
  end,
}

---Keys people shorten: `:Lofi config backend ace-step`.
---@param key string
---@return string
local function full_key(key)
  local is_short = not key:find('.', 1, true) and options.BY_KEY['model.' .. key]
  return is_short and 'model.' .. key or key
end

---@param key string
---@param text string
---@return any
local function config_value(key, text)
  local kind = (options.BY_KEY[key] or {}).kind
  if text == 'null' or text == 'nil' then
    return vim.NIL
  elseif kind == 'boolean' then
    local truth = { ['true'] = true, on = true, ['false'] = false, off = false }
    return truth[text] == nil and text or truth[text]
  elseif kind == 'number' or kind == 'integer' then
    return tonumber(text) or text
  elseif vim.startswith(key, 'defaults.') then
    return parameters.read(key:sub(#'defaults.' + 1), text)
  end
  return text
end

---@param config table<string, any>
---@param sources table<string, string>
---@return lofi.float.Line[]
local function config_lines(config, sources)
  local lines, keys = {}, vim.tbl_keys(config)
  table.sort(keys)
  for _, key in ipairs(keys) do
    local source = sources[key] or 'default'
    local value = vim.inspect(config[key], { newline = ' ', indent = '' })
    lines[#lines + 1] = {
      text = ('%-26s %-24s %s'):format(key, value, source),
      group = source == 'default' and 'LofiDim' or nil,
    }
  end
  return lines
end

---@param key? string
local function show_config(key)
  lofi.config(key, nil, function(err, result)
    if err then
      return ui.error(err)
    elseif key then
      local value = vim.inspect(result.config[key])
      return ui.notify(
        ('%s = %s (%s)'):format(key, value, (result.sources or {})[key] or 'default')
      )
    end
    float.show('lofi config', config_lines(result.config, result.sources or {}))
  end)
end

M.config = {
  usage = '[key] [value] [--save]',
  text = "show or set the daemon's configuration; --save keeps it",
  run = function(call)
    local words = vim.tbl_filter(function(word)
      return word ~= '--save'
    end, call.words)
    local key = words[1] and full_key(words[1])
    if not words[2] then
      return show_config(key)
    end
    local value = config_value(key, table.concat(words, ' ', 2))
    local params = { key = key, value = value, persist = #words < #call.words }
    lofi.request(
      'config_set',
      params,
      answer.use(function(result)
        local again = vim.list_extend(result.requires_reload or {}, result.requires_restart or {})
        local note = #again > 0 and ', after :Lofi daemon restart' or ''
        ui.notify(('%s = %s%s'):format(key, vim.inspect(value), note))
      end)
    )
  end,
  complete = function(words)
    if #words == 0 then
      local keys = {}
      for _, option in ipairs(options.LIST) do
        if not option.is_local then
          keys[#keys + 1] = option.key
        end
      end
      return keys
    end
    local option = options.BY_KEY[full_key(words[1])] or {}
    local values = option.kind == 'boolean' and { 'true', 'false' } or option.choices or {}
    return #words == 1 and vim.tbl_map(tostring, values) or { '--save' }
  end,
}

M.doctor = {
  usage = '',
  text = ':checkhealth lofi',
  run = function()
    vim.cmd.checkhealth('lofi')
  end,
}

M.help = {
  usage = '[topic]',
  text = 'the help, at a topic',
  run = function(call)
    local topic = call.rest ~= '' and call.rest or nil
    local candidates = topic and { 'lofi-' .. topic, ':Lofi-' .. topic, 'lofi.' .. topic .. '()' }
      or { 'lofi.txt' }
    local function open()
      -- `:help` is content with a tag that holds the word; one that is the word goes first.
      local exact = vim.tbl_filter(function(tag)
        return vim.list_contains(vim.fn.getcompletion(tag, 'help'), tag)
      end, candidates)
      return vim.iter(vim.list_extend(exact, candidates)):any(function(tag)
        return pcall(vim.cmd.help, tag)
      end)
    end
    if open() then
      return
    end
    -- Cloned by hand, it has no tags yet: package managers make them, `git clone` does not.
    local folder = vim.fs.joinpath(launch.plugin_folder(), 'doc')
    local is_made = not vim.uv.fs_stat(vim.fs.joinpath(folder, 'tags'))
      and pcall(vim.cmd.helptags, folder)
    if is_made and open() then
      return
    end
    error(('lofi: there is no help on "%s"'):format(topic or 'lofi'), 0)
  end,
  complete = function()
    local topics = {} ---@type table<string, true>
    for _, tag in ipairs(vim.fn.getcompletion('lofi-', 'help')) do
      topics[tag:match('^:?[Ll]ofi%-(.+)') or ''] = true
    end
    topics[''] = nil
    local names = vim.tbl_keys(topics)
    table.sort(names)
    return names
  end,
}

return M
