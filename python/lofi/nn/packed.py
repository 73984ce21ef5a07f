"""Weights published in sixteen bits, kept so, while float32 is computed on the CPU.

Decoding reads every weight for each token, so half the bytes are nearly half the time. A float16
holds a bfloat16 exactly down to 2^-17, and smaller ones to 2^-25, which is less than what the order
of a float32 sum changes. FBGEMM multiplies such weights with up to six rows in one pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

Check = Callable[[], None]
NARROW = (torch.bfloat16, torch.float16)
LARGEST = torch.finfo(torch.float16).max
PACKERS = 4
BLOCK = 8192
"""Rows of a table that are packed together."""


def can_pack() -> bool:
    """Returns whether this build of torch packs, and this processor multiplies what it packed."""
    try:
        packed = torch.ops.quantized.linear_prepack_fp16(torch.eye(2), None)
        product = torch.ops.quantized.linear_dynamic_fp16(torch.eye(2), packed)
    except (RuntimeError, AttributeError):  # another processor, or a build without FBGEMM
        return False
    return torch.equal(product, torch.eye(2))


class PackedLinear(nn.Module):
    """A linear layer without bias that keeps nothing but its packed weight."""

    def __init__(self, weight: Tensor) -> None:
        """weight [R, C], in bfloat16 or float16; its numbers must be within float16's range."""
        super().__init__()
        self.packed_bytes = weight.numel() * torch.float16.itemsize
        self._packed: Any = torch.ops.quantized.linear_prepack_fp16(weight.float(), None)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., C] in float32 -> [..., R]."""
        rows = x.reshape(-1, x.shape[-1])
        product: Tensor = torch.ops.quantized.linear_dynamic_fp16(rows, self._packed)
        return product.view(*x.shape[:-1], -1)


class PackedTable(nn.Module):
    """A head's weight in blocks of rows, so that a stretch of its rows can be asked for alone."""

    def __init__(self, weight: Tensor, check: Check) -> None:
        """weight [R, C], as for `PackedLinear`."""
        super().__init__()
        self._rows = len(weight)
        self._blocks = nn.ModuleList(_packed(torch.split(weight, BLOCK), check))

    def forward(self, x: Tensor, rows: slice) -> Tensor:
        """x [..., C] in float32 -> [..., R], of a stretch of rows."""
        start, stop, _ = rows.indices(self._rows)
        first, last = start // BLOCK, -(-stop // BLOCK)
        product = torch.cat([block(x) for block in self._blocks[first:last]], dim=-1)
        return product[..., start - first * BLOCK : stop - first * BLOCK]


def is_packable(weight: Tensor) -> bool:
    """Returns whether packing changes none of a weight's numbers by more than 2^-25."""
    low, high = torch.aminmax(weight)
    return weight.dtype in NARROW and bool(low >= -LARGEST) and bool(high <= LARGEST)


def pack_linears(module: nn.Module, check: Check) -> None:
    """Replaces the linear layers inside a module; all must be packable and without bias."""
    places = [
        (parent, name, child)
        for parent in module.modules()
        for name, child in parent.named_children()
        if isinstance(child, nn.Linear)
    ]
    packed = _packed((child.weight for _, _, child in places), check)
    for (parent, name, _), layer in zip(places, packed, strict=True):
        setattr(parent, name, layer)


def packed_bytes(module: nn.Module) -> int:
    """Returns the memory of all packed weights inside a module."""
    layers = (child for child in module.modules() if isinstance(child, PackedLinear))
    return sum(layer.packed_bytes for layer in layers)


def _packed(weights: Iterable[Tensor], check: Check) -> Iterable[PackedLinear]:
    """Packs side by side: packing one weight uses one core, and holds it in float32 meanwhile."""
    with ThreadPoolExecutor(min(PACKERS, torch.get_num_threads())) as pool:
        orders = [pool.submit(PackedLinear, weight) for weight in weights]
        try:
            for order in orders:
                check()
                yield order.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
