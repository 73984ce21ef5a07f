-- Defines :Lofi, the <Plug> keys and default highlights. Requires nothing until one is used.
if vim.g.loaded_lofi then
  return
end
vim.g.loaded_lofi = true

vim.api.nvim_create_user_command('Lofi', function(call)
  require('lofi.command').run(call)
end, {
  nargs = '*',
  bang = true,
  range = true,
  desc = 'Music while you code',
  complete = function(lead, line, position)
    return require('lofi.command').complete(lead, line, position)
  end,
})

local keys = {
  toggle = '',
  play = 'play',
  pause = 'pause',
  stop = 'stop',
  skip = 'skip',
  previous = 'prev',
  ['seek-forward'] = 'seek +10',
  ['seek-back'] = 'seek -10',
  ['volume-up'] = 'volume +10',
  ['volume-down'] = 'volume -10',
  mute = 'volume mute',
  generate = 'generate',
  prompt = 'prompt',
  submit = 'submit',
  cancel = 'cancel',
  status = 'status',
  list = 'list',
  queue = 'queue',
  favorite = 'favorite',
}
for name, arguments in pairs(keys) do
  vim.keymap.set('n', ('<Plug>(lofi-%s)'):format(name), function()
    require('lofi.command').execute(arguments)
  end, { desc = vim.trim('Lofi ' .. arguments) })
end
-- A colon, not <Cmd>: it leaves Visual mode and puts the selection's range, the lyrics, in front.
vim.keymap.set('x', '<Plug>(lofi-generate)', ':Lofi generate<CR>', {
  silent = true,
  desc = 'Lofi generate, selection as lyrics',
})

local links = {
  LofiNormal = 'NormalFloat',
  LofiBorder = 'FloatBorder',
  LofiTitle = 'FloatTitle',
  LofiKey = 'Special',
  LofiPlaying = 'DiagnosticOk',
  LofiPaused = 'DiagnosticWarn',
  LofiStopped = 'Comment',
  LofiGenerating = 'DiagnosticInfo',
  LofiError = 'DiagnosticError',
  LofiDim = 'Comment',
  LofiProgressDone = 'PmenuSel',
  LofiProgressTodo = 'Pmenu',
  LofiFavorite = 'WarningMsg',
  LofiPrompt = 'String',
}
for group, target in pairs(links) do
  vim.api.nvim_set_hl(0, group, { link = target, default = true })
end
