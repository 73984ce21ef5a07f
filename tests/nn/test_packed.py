"""Packed weights multiply as the published ones would in float32."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lofi.nn import packed
from lofi.nn.packed import (
    PackedLinear,
    PackedTable,
    can_pack,
    is_packable,
    pack_linears,
    packed_bytes,
)

pytestmark = pytest.mark.skipif(not can_pack(), reason="this build of torch packs nothing")


def never() -> None:
    """Nobody cancels."""


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 16, 200])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_any_number_of_rows(rows: int, dtype: torch.dtype) -> None:
    x, weight = torch.randn(rows, 1, 96), torch.randn(70, 96).to(dtype)
    ours = PackedLinear(weight)(x)
    assert ours.shape == (rows, 1, 70)
    assert torch.allclose(ours, F.linear(x, weight.float()), atol=1e-4)


def test_numbers_of_any_size_are_kept() -> None:
    sizes = torch.tensor(2.0) ** torch.arange(-30, 16)
    weight = (sizes[:, None] * torch.tensor([1.0, 1.4921875, -1.9921875])).bfloat16()
    kept = PackedLinear(weight)(torch.eye(3)).T
    small = sizes < 2.0**-17
    assert torch.equal(kept[~small], weight[~small].float())
    assert (kept[small] - weight[small].float()).abs().max() <= 2.0**-25


@pytest.mark.parametrize("largest", [7e4, float("inf"), float("nan")])
def test_what_float16_cannot_hold_is_not_packable(largest: float) -> None:
    weight = torch.ones(4, 4)
    assert is_packable(weight.bfloat16())
    assert not is_packable(weight)
    weight[2, 3] = largest
    assert not is_packable(weight.bfloat16())
    assert not is_packable(-weight.bfloat16())


def test_stretches_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "BLOCK", 16)
    x, weight = torch.randn(2, 24), torch.randn(50, 24).bfloat16()
    table = PackedTable(weight, never)
    for rows in (slice(None), slice(0, 1), slice(15, 17), slice(16, 32), slice(33, 50)):
        wanted = F.linear(x, weight[rows].float())
        assert torch.allclose(table(x, rows), wanted, atol=1e-5)
        assert torch.allclose(table(x[0], rows), wanted[0], atol=1e-5)


def test_every_linear_inside_is_packed_and_counted() -> None:
    module = nn.Sequential(
        nn.Linear(24, 40, bias=False), nn.Sequential(nn.ReLU(), nn.Linear(40, 8, bias=False))
    )
    x = torch.randn(3, 24)
    module.bfloat16()
    wanted = module.float()(x)
    module.bfloat16()
    pack_linears(module, never)
    assert not list(module.parameters())
    assert packed_bytes(module) == 2 * (24 * 40 + 40 * 8)
    assert torch.allclose(module(x), wanted, atol=1e-5)
