---The lualine component `lofi`: `lualine_x = { 'lofi' }`. Its options are those of
---|lofi.statusline()|.

local component = require('lualine.component'):extend()

function component:update_status()
  return require('lofi').statusline(self.options) or ''
end

return component
