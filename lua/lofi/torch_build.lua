---Which build of PyTorch suits this machine, and why. It installs nothing.

local M = {}

local INDEX = 'https://download.pytorch.org/whl/'
---CUDA builds, newest first: what the driver must be able to do.
local CUDA_BUILDS = { { 13.0, 'cu130' }, { 12.8, 'cu128' }, { 12.6, 'cu126' } }

---@class lofi.TorchBuild
---@field name string In words
---@field index? string Where it is published; nil: where all packages come from
---@field reason string Why this one
---@field size_mb integer About what all neural packages take on disk with it

---@param driver number What CUDA the driver can do
---@return lofi.TorchBuild?
local function for_driver(driver)
  for _, build in ipairs(CUDA_BUILDS) do
    if driver >= build[1] then
      return {
        name = ('PyTorch for CUDA %.1f'):format(build[1]),
        index = INDEX .. build[2],
        reason = ('the NVIDIA driver here takes CUDA up to %.1f'):format(driver),
        size_mb = 7500,
      }
    end
  end
end

---Returns the build for this machine. `LOFI_TORCH_INDEX` names another index.
---@param ask_driver fun(): string? Returns what `nvidia-smi` prints, nil where it does not run
---@return lofi.TorchBuild
function M.choose(ask_driver)
  local own = vim.env.LOFI_TORCH_INDEX
  if own and own ~= '' then
    return { name = 'PyTorch', index = own, reason = 'LOFI_TORCH_INDEX says so', size_mb = 7500 }
  elseif vim.fn.has('mac') == 1 then
    local reason = 'on macOS it brings Metal'
    return { name = 'PyTorch', reason = reason, size_mb = 1200 }
  end
  local output = ask_driver()
  local driver = output and tonumber(output:match('CUDA Version:%s*(%d+%.%d+)'))
  local build = driver and for_driver(driver)
  if build then
    return build
  end
  local oldest = CUDA_BUILDS[#CUDA_BUILDS][1]
  local reason = 'no NVIDIA GPU was found'
  if driver then
    reason = ('the NVIDIA driver takes CUDA %.1f, and %.1f is needed'):format(driver, oldest)
  elseif output then
    reason = 'the NVIDIA driver does not say which CUDA it takes'
  end
  return { name = 'PyTorch for CPU', index = INDEX .. 'cpu', reason = reason, size_mb = 1500 }
end

return M
