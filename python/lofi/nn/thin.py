"""Linear layers for a handful of rows, as decoding has them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

THIN = range(2, 5)
"""Rows for which float32 on a CPU multiplies the other way round.

With two to four rows the library packs the whole weight at each call: up to 3 times slower than
reading it once. One row has its own fast path, and from eight on packing pays.
"""


def thin_linear(x: Tensor, weight: Tensor) -> Tensor:
    """x [..., C] times weight [R, C] -> [..., R]."""
    rows = x.numel() // x.shape[-1]
    by_columns = weight.stride(0) < weight.stride(1)
    if rows in THIN and not by_columns and x.dtype == torch.float32 and x.device.type == "cpu":
        flat = x.reshape(rows, -1)
        return (weight @ flat.t()).t().reshape(*x.shape[:-1], -1)
    return F.linear(x, weight)


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


def lay_by_columns(module: nn.Module) -> None:
    """Lays the float32 weights of thin layers out column by column where that is quicker.

    On processors with AVX2 but not AVX-512 one or two rows then take a fifth less time than by
    rows; many rows take as long as before. Shapes and values stay.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        return
    for child in module.modules():
        if isinstance(child, ThinLinear):
            weight = child.weight
            if weight.dtype == torch.float32 and weight.device.type == "cpu":
                child.weight = nn.Parameter(
                    weight.detach().t().contiguous().t(), requires_grad=weight.requires_grad
                )
