---The parameters of `generate` as completion and the command line need them: name, kind, values.
---The daemon has the ranges; a test compares this table with `python/lofi/parameters.py`.

---@class lofi.Parameter
---@field kind 'int'|'num'|'str'|'bool'|'list'|'texts'|'audio'|'any'
---@field values? string[]

local M = {}

---@param kind string
---@param ... string Values
---@return lofi.Parameter
local function of(kind, ...)
  return { kind = kind, values = select('#', ...) > 0 and { ... } or nil }
end

---@type table<string, lofi.Parameter>
M.TABLE = {
  audio_codes = of('any'),
  auto_lyrics = of('bool'),
  auto_play = of('bool'),
  backend = of('str'),
  batch_size = of('int'),
  bits = of('int'),
  bpm = of('int'),
  cfg_interval_end = of('num'),
  cfg_interval_start = of('num'),
  cfg_type = of('str', 'apg', 'cfg', 'cfg_star'),
  chunk_mask_mode = of('str', 'auto', 'explicit'),
  constrained = of('bool'),
  cover_noise_strength = of('num'),
  cover_strength = of('num'),
  dcw = of('str', 'off', 'low', 'high', 'double', 'pix'),
  dcw_high_scaler = of('num'),
  dcw_scaler = of('num'),
  density = of('num'),
  duration_sec = of('num'),
  edit_n_avg = of('int'),
  edit_n_max = of('num'),
  edit_n_min = of('num'),
  edit_source_lyrics = of('str'),
  edit_source_prompt = of('str'),
  edit_type = of('str', 'only_lyrics', 'remix'),
  extend_left_sec = of('num'),
  extend_right_sec = of('num'),
  extend_stride_sec = of('num'),
  fade_in_sec = of('num'),
  fade_out_sec = of('num'),
  force = of('bool'),
  form = of('str', 'song', 'body'),
  format = of('str', 'wav', 'flac', 'ogg', 'mp3', 'wav32'),
  global_prompt = of('str'),
  guidance_interval = of('num'),
  guidance_interval_decay = of('num'),
  guidance_scale = of('num'),
  guidance_scale_lyric = of('num'),
  guidance_scale_text = of('num'),
  infer_steps = of('int'),
  instruction = of('str'),
  instrumental = of('bool'),
  keyscale = of('any'),
  lm_cfg_scale = of('num'),
  lm_model = of('str', 'auto', 'none', '0.6b', '1.7b', '4b'),
  lm_negative_prompt = of('str'),
  lm_seed = of('int'),
  lm_temperature = of('num'),
  lm_top_k = of('int'),
  lm_top_p = of('num'),
  loopable = of('bool'),
  lowpass_hz = of('num'),
  lyrics = of('str'),
  metas = of('str'),
  min_guidance_scale = of('num'),
  negative_prompt = of('str'),
  noise = of('num'),
  normalize = of('str', 'peak', 'none'),
  omega_scale = of('num'),
  oss_steps = of('list'),
  priority = of('str', 'low', 'normal', 'high'),
  prompt = of('str'),
  ref_audio_strength = of('num'),
  reference = of('audio'),
  repaint_crossfade_frames = of('int'),
  repaint_end = of('num'),
  repaint_mode = of('str', 'conservative', 'balanced', 'aggressive'),
  repaint_start = of('num'),
  repaint_strength = of('num'),
  repaint_wav_crossfade_sec = of('num'),
  retake_seed = of('int'),
  retake_variance = of('num'),
  saturation = of('num'),
  save_latents = of('bool'),
  scheduler = of('str', 'euler', 'heun', 'pingpong', 'sde'),
  seed = of('int'),
  shift = of('num'),
  source = of('audio'),
  style = of('str', 'lofi', 'jazz', 'ambient', 'house', 'rain'),
  swing = of('num'),
  tags = of('texts'),
  task = of(
    'str',
    'text2music',
    'retake',
    'repaint',
    'extend',
    'edit',
    'audio2audio',
    'cover',
    'cover_nofsq',
    'lego',
    'extract',
    'complete'
  ),
  temperature = of('num'),
  thinking = of('bool'),
  timesignature = of('any'),
  timesteps = of('any'),
  title = of('str'),
  top_k = of('int'),
  top_p = of('num'),
  track = of(
    'str',
    'vocals',
    'backing_vocals',
    'drums',
    'bass',
    'guitar',
    'keyboard',
    'percussion',
    'strings',
    'synth',
    'fx',
    'brass',
    'woodwinds'
  ),
  tracks = of('list'),
  use_adg = of('bool'),
  use_cot_caption = of('bool'),
  use_cot_language = of('bool'),
  use_cot_metas = of('bool'),
  use_erg_diffusion = of('bool'),
  use_erg_lyric = of('bool'),
  use_erg_tag = of('bool'),
  variant = of('str'),
  vocal_language = of('str'),
  wobble = of('num'),
}

---What `backend=` completes to, as people type it.
M.BACKENDS = { 'auto', 'ace-step-1.5', 'ace-step', 'musicgen', 'procedural' }

---@return string[]
function M.names()
  local names = vim.tbl_keys(M.TABLE)
  table.sort(names)
  return names
end

---Returns the values a parameter can be completed to.
---@param name string
---@return string[]
function M.values(name)
  local parameter = M.TABLE[name]
  if name == 'backend' then
    return M.BACKENDS
  end
  if not parameter then
    return {}
  end
  return parameter.values or (parameter.kind == 'bool' and { 'true', 'false' }) or {}
end

---Returns the number a text is: `nan` and `infinity` are words.
---@param text string
---@return number?
function M.number(text)
  local number = tonumber(text)
  return number and math.abs(number) < math.huge and number or nil
end

local TRUTH = { ['true'] = true, on = true, yes = true, ['false'] = false, off = false, no = false }

---Returns what `text` means for a parameter. What cannot be read stays text: the daemon says what
---it would take.
---@param name string
---@param text string
---@return any
function M.read(name, text)
  local kind = (M.TABLE[name] or { kind = 'any' }).kind
  if text == 'null' or text == 'nil' then
    return vim.NIL
  end
  if kind == 'bool' and TRUTH[text:lower()] ~= nil then
    return TRUTH[text:lower()]
  end
  if kind == 'int' or kind == 'num' or kind == 'any' then
    return M.number(text) or text
  end
  if kind == 'list' or kind == 'texts' then
    return vim.tbl_map(function(item)
      return kind == 'list' and M.number(item) or item
    end, vim.split(text, ',', { trimempty = true }))
  end
  if kind == 'audio' then
    local path = vim.fs.normalize(vim.fn.fnamemodify(vim.fn.expand(text), ':p'))
    return vim.uv.fs_stat(path) and path or text
  end
  return text
end

return M
