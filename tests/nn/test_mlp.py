"""The feed-forward in blocks of rows against all rows at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lofi.nn import mlp
from lofi.nn.mlp import GatedMLP


def test_many_rows_go_in_blocks_between_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x = GatedMLP(8, 16), torch.randn(2, 25, 8)
    gate = nn.functional.silu(layer.gate_proj(x))
    whole = layer.down_proj(gate * layer.up_proj(x))
    calls: list[int] = []
    widest: list[int] = []
    layer.up_proj.register_forward_hook(lambda _, __, out: widest.append(out[..., 0].numel()))
    monkeypatch.setattr(mlp, "ROWS", 16)
    torch.testing.assert_close(layer(x, lambda: calls.append(1)), whole)
    assert len(calls) == 4 and max(widest) == 16
    calls.clear()
    torch.testing.assert_close(layer(x[:, :8], lambda: calls.append(1)), whole[:, :8])
    assert not calls, "few rows are one block"
