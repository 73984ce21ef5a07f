---Which plugin this is and which protocol it speaks.

---@class lofi.Version
---@field plugin string
---@field protocol integer

---@type lofi.Version
return { plugin = '0.1.0', protocol = 1 }
