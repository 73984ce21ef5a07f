---Every option as data: its kind, default and what is allowed. The daemon's have the same names
---in `python/lofi/settings.py`, and a test compares the two.

---@class lofi.Option
---@field key string Dotted name
---@field kind 'string'|'number'|'integer'|'boolean'|'strings'|'table'|'path'
---@field default any
---@field low? number
---@field high? number
---@field choices? (string|number)[]
---@field nullable? boolean nil is a value
---@field is_local? boolean Never sent to the daemon
---@field takes_false? boolean
---@field check? fun(value: any): boolean
---@field allowed? string In words, where the other fields do not say it

local M = {}

local BACKENDS = { 'auto', 'musicgen', 'ace-step', 'ace-step-1.5', 'procedural' }

---@param text any
---@return boolean
local function is_device(text)
  local folded = type(text) == 'string' and text:lower() or ''
  return vim.list_contains({ 'auto', 'cpu', 'cuda', 'mps', 'metal', 'xpu' }, folded)
    or folded:find('^cuda:%d+$') ~= nil
    or folded:find('^xpu:%d+$') ~= nil
end

---@param text any
---@return boolean
local function is_output(text)
  return vim.list_contains({ 'auto', 'native', 'null' }, text)
    or (type(text) == 'string' and text:find('^file:.') ~= nil)
end

---Accepted spellings, as the daemon folds them: case and dash against underscore do not matter.
---@param text any
---@return boolean
local function is_backend(text)
  local spellings = {
    'auto',
    'musicgen',
    'music_gen',
    'ace_step',
    'acestep',
    'ace_step_v1',
    'ace_step_15',
    'ace_step_1.5',
    'acestep15',
    'ace_step_v15',
    'acestep_v15',
    'procedural',
  }
  return type(text) == 'string' and vim.list_contains(spellings, (text:lower():gsub('-', '_')))
end

---@type lofi.Option[]
M.LIST = {
  { key = 'daemon.cmd', kind = 'strings', nullable = true, is_local = true },
  { key = 'daemon.python', kind = 'string', nullable = true, is_local = true },
  { key = 'daemon.auto_start', kind = 'boolean', default = true, is_local = true },
  { key = 'daemon.restart_on_crash', kind = 'boolean', default = true, is_local = true },
  {
    key = 'daemon.request_timeout_ms',
    kind = 'integer',
    default = 10000,
    low = 100,
    is_local = true,
  },
  { key = 'daemon.shared', kind = 'boolean', default = true },
  { key = 'daemon.linger_sec', kind = 'number', default = 0, low = 0 },
  {
    key = 'daemon.log_level',
    kind = 'string',
    default = 'warn',
    choices = { 'debug', 'info', 'warn', 'error' },
  },
  { key = 'daemon.log_file', kind = 'path', nullable = true },

  {
    key = 'model.backend',
    kind = 'string',
    default = 'auto',
    choices = BACKENDS,
    check = is_backend,
  },
  { key = 'model.variant', kind = 'string', nullable = true },
  {
    key = 'model.lm',
    kind = 'string',
    default = 'auto',
    choices = { 'auto', 'none', '0.6b', '1.7b', '4b' },
  },
  {
    key = 'model.device',
    kind = 'string',
    default = 'auto',
    check = is_device,
    allowed = 'one of auto, cpu, cuda, cuda:N, mps',
  },
  { key = 'model.bf16', kind = 'boolean', nullable = true },
  {
    key = 'model.offload',
    kind = 'string',
    default = 'auto',
    choices = { 'auto', 'none', 'sequential', 'cpu' },
  },
  { key = 'model.threads', kind = 'integer', low = 1, high = 256, nullable = true },
  { key = 'model.keep_loaded', kind = 'boolean', default = false },
  { key = 'model.idle_unload_sec', kind = 'integer', default = 300, low = 0 },
  { key = 'model.min_free_vram_mb', kind = 'integer', default = 2048, low = 0 },
  { key = 'model.vram_wait_sec', kind = 'number', default = 30, low = 0 },
  { key = 'model.oom_fallback', kind = 'string', default = 'cpu', choices = { 'none', 'cpu' } },
  {
    key = 'model.fallback',
    kind = 'string',
    default = 'procedural',
    choices = { 'procedural', 'none' },
  },
  {
    key = 'model.auto_download',
    kind = 'string',
    default = 'ask',
    choices = { 'ask', 'never', 'always' },
  },
  { key = 'model.vae_tile_sec', kind = 'number', low = 0.1, nullable = true },
  { key = 'model.weights_path', kind = 'path', nullable = true },

  { key = 'queue.max_pending', kind = 'integer', default = 10, low = 1, high = 200 },

  { key = 'playback.volume', kind = 'number', default = 0.6, low = 0, high = 1 },
  { key = 'playback.auto_play', kind = 'boolean', default = true },
  { key = 'playback.normalize', kind = 'boolean', default = true },
  { key = 'playback.resume_session', kind = 'boolean', default = true },

  {
    key = 'audio.output',
    kind = 'string',
    default = 'auto',
    check = is_output,
    allowed = 'one of auto, native, null, file:PATH',
  },
  { key = 'audio.device', kind = 'string', nullable = true },
  {
    key = 'audio.format',
    kind = 'string',
    default = 'wav',
    choices = { 'wav', 'flac', 'ogg', 'mp3', 'wav32' },
  },
  {
    key = 'audio.mp3_bitrate',
    kind = 'integer',
    default = 192,
    choices = { 128, 192, 256, 320 },
  },

  { key = 'cache.dir', kind = 'path', nullable = true },
  { key = 'cache.max_mb', kind = 'number', default = 2048, low = 0 },
  { key = 'cache.max_tracks', kind = 'integer', low = 1, nullable = true },
  { key = 'cache.latents', kind = 'boolean', default = false },

  { key = 'history.enabled', kind = 'boolean', default = true },

  { key = 'ui.notify', kind = 'boolean', default = true, is_local = true },
  {
    key = 'ui.notify_level',
    kind = 'integer',
    default = vim.log.levels.INFO,
    low = 0,
    high = 5,
    is_local = true,
  },
  {
    key = 'ui.progress',
    kind = 'string',
    default = 'auto',
    choices = { 'auto', 'cmdline', 'notify', 'none' },
    is_local = true,
  },
  { key = 'ui.statusline', kind = 'boolean', default = true, is_local = true },
  {
    key = 'ui.border',
    kind = 'border',
    nullable = true,
    is_local = true,
    allowed = 'a border as nvim_open_win takes it',
  },
  { key = 'ui.icons.playing', kind = 'string', default = '▶', is_local = true },
  { key = 'ui.icons.paused', kind = 'string', default = '⏸', is_local = true },
  { key = 'ui.icons.generating', kind = 'string', default = '◌', is_local = true },
  { key = 'ui.icons.favorite', kind = 'string', default = '★', is_local = true },
  { key = 'ui.icons.muted', kind = 'string', default = '∅', is_local = true },
}

---Tables whose names are the user's own, or `generate`'s.
M.FREE = { defaults = true, presets = true }

---What plays when nobody says what; `defaults.prompt` takes its place.
M.DEFAULT_PROMPT = 'lofi hip hop, chill, mellow piano, vinyl crackle'

---@type table<string, lofi.Option>
M.BY_KEY = {}
for _, option in ipairs(M.LIST) do
  M.BY_KEY[option.key] = option
end

---Returns what is allowed, in words.
---@param option lofi.Option
---@return string
function M.describe(option)
  local words = option.allowed
  if not words and option.choices then
    words = 'one of ' .. table.concat(vim.tbl_map(tostring, option.choices), ', ')
  end
  words = words
    or ({
      string = 'text',
      path = 'an absolute path',
      number = 'a number',
      integer = 'a whole number',
      boolean = 'true or false',
      strings = 'a list of words',
    })[option.kind]
  if option.low and option.high then
    words = ('%s in %s..%s'):format(words, option.low, option.high)
  elseif option.low then
    words = ('%s of at least %s'):format(words, option.low)
  end
  return words
end

---@type table<string, fun(value: any): boolean>
local KINDS = {
  string = function(value)
    return type(value) == 'string'
  end,
  path = function(value)
    return type(value) == 'string' and vim.fs.normalize(value):find('^%a?:?/') ~= nil
  end,
  number = function(value)
    return type(value) == 'number' and value == value and math.abs(value) ~= math.huge
  end,
  integer = function(value)
    return type(value) == 'number' and value % 1 == 0
  end,
  boolean = function(value)
    return type(value) == 'boolean'
  end,
  strings = function(value)
    return vim.islist(value)
      and #value > 0
      and vim.iter(value):all(function(item)
        return type(item) == 'string'
      end)
  end,
  border = function(value)
    return type(value) == 'string' or vim.islist(value)
  end,
}

---Whether `value` may stand for this option.
---@param option lofi.Option
---@param value any
---@return boolean
function M.accepts(option, value)
  if not KINDS[option.kind](value) then
    return false
  end
  if option.check then
    return option.check(value)
  end
  if option.choices then
    return vim.list_contains(option.choices, value)
  end
  if option.low and value < option.low then
    return false
  end
  return not (option.high and value > option.high)
end

return M
