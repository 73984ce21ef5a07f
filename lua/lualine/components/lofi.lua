---The lualine component `lofi`: `lualine_x = { 'lofi' }`. Its options are those of
---|lofi.statusline()|.

local component = require('lualine.component'):extend()

function component:update_status()
  local text = require('lofi').statusline(self.options) or ''
  -- Words, not items of a statusline; only who formats it may mean these.
  return self.options.format and text or (text:gsub('%%', '%%%%'))
end

return component
