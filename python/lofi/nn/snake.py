"""The periodic activation of audio decoders, its frequencies and depths stored as logarithms."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_TINY = 1e-9
_BLOCK_BYTES = 1 << 21
"""A stretch that stays in a core's cache while it is passed over several times."""


class Snake(nn.Module):
    """x + sin(a x)^2 / b, with a and b per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(1, channels, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, C] -> [B, T, C], a new tensor."""
        a = self.alpha.float().exp().flatten().to(x.dtype)
        root = (self.beta.float().exp().flatten() + _TINY).rsqrt().to(x.dtype)
        if x.device.type != "cpu" or x.numel() * x.element_size() <= _BLOCK_BYTES:
            return _snake(x, a, root)
        out = torch.empty_like(x)
        flat, flat_out = x.reshape(-1, x.shape[-1]), out.view(-1, x.shape[-1])
        rows = max(1, _BLOCK_BYTES // (x.shape[-1] * x.element_size()))
        for start in range(0, len(flat), rows):
            flat_out[start : start + rows] = _snake(flat[start : start + rows], a, root)
        return out


def _snake(x: Tensor, a: Tensor, root: Tensor) -> Tensor:
    wave = (x * a).sin_().mul_(root)
    return torch.addcmul(x, wave, wave)
