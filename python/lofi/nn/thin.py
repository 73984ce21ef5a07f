"""Linear layers for a handful of rows, as decoding has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

THIN = range(2, 5)
"""Rows for which float32 on a CPU multiplies the other way round.

With two to four rows the library packs the whole weight at each call: up to 3 times slower than
reading it once. One row has its own fast path, and from eight on packing pays. Where there is
AVX2 but not AVX-512, one row at a time over pieces that stay in the cache is the quickest.
"""


PIECE = 200_000
"""Numbers of a weight that a core's second cache holds beside what it works on."""
IS_AVX2 = torch.backends.cpu.get_cpu_capability() == "AVX2"


def thin_linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., C] times weight [R, C] -> [..., R]."""
    rows = x.numel() // x.shape[-1]
    if rows not in THIN or x.dtype != torch.float32 or x.device.type != "cpu":
        return F.linear(x, weight)
    flat = x.reshape(rows, -1)
    out = _in_pieces(flat, weight) if IS_AVX2 else (weight @ flat.t()).t()
    return out.reshape(*x.shape[:-1], -1)


def _in_pieces(x: Tensor, weight: Tensor) -> Tensor:
    """The first row of x brings a piece of the weight near, the others find it there."""
    out = x.new_empty(len(x), len(weight))
    size = max(1, PIECE // weight.shape[1])
    rows = x.unbind()
    for piece, *results in zip(
        torch.split(weight, size), *[torch.split(row, size) for row in out], strict=True
    ):
        for row, result in zip(rows, results, strict=True):
            torch.mv(piece, row, out=result)
    return out


class ThinLinear(nn.Linear):
    """A linear layer without bias that is quick with few rows."""

    def forward(self, x: Tensor) -> Tensor:
        return thin_linear(x, self.weight)


def make_thin(module: nn.Module) -> None:
    """Replaces the plain linear layers inside a module; names and weights stay."""
    for name, child in module.named_children():
        if type(child) is nn.Linear and child.bias is None:
            thin = ThinLinear(child.in_features, child.out_features, bias=False, device="meta")
            thin.weight = child.weight
            setattr(module, name, thin)
        else:
            make_thin(child)
