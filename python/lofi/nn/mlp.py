"""The gated feed-forward block."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Check = Callable[[], None]
ROWS = 1024
"""Rows worked on between two checks: these are the widest tensors of a layer, and ten minutes of
music at once would take a slow CPU seconds and hundreds of megabytes."""


class GatedMLP(nn.Module):
    """down(silu(gate(x)) * up(x)), without biases."""

    def __init__(self, size: int, inner_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size, inner_size, bias=False)
        self.up_proj = nn.Linear(size, inner_size, bias=False)
        self.down_proj = nn.Linear(inner_size, size, bias=False)

    def forward(self, x: Tensor, check: Check | None = None) -> Tensor:
        """x [..., size] -> the same shape; `check` is called between blocks of rows."""
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) <= ROWS:
            return self._block(x)
        out = torch.empty_like(rows)
        for start in range(0, len(rows), ROWS):
            out[start : start + ROWS] = self._block(rows[start : start + ROWS])
            if check is not None:
                check()
        return out.view(x.shape)

    def _block(self, x: Tensor) -> Tensor:
        # in place: two such tensors, not four
        gate = F.silu(self.gate_proj(x), inplace=True)
        return self.down_proj(gate.mul_(self.up_proj(x)))
