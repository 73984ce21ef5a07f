"""Linear layers for few rows give what others give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lofi.nn import thin
from lofi.nn.thin import ThinLinear, make_thin, thin_linear


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_number_of_rows(rows: int, dtype: torch.dtype) -> None:
    x, weight = torch.randn(rows, 1, 24).to(dtype), torch.randn(40, 24).to(dtype)
    ours = thin_linear(x, weight)
    assert ours.shape == (rows, 1, 40)
    assert torch.allclose(ours, F.linear(x, weight), atol=1e-5)


def test_names_and_weights_stay() -> None:
    module = nn.ModuleDict({"a": nn.Linear(3, 4, bias=False), "b": nn.Linear(3, 4)})
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    make_thin(module)
    assert isinstance(module["a"], ThinLinear)
    assert type(module["b"]) is nn.Linear
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("rows", [2, 3, 4])
@pytest.mark.parametrize("is_avx2", [False, True])
def test_either_way_of_few_rows(rows: int, is_avx2: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thin, "IS_AVX2", is_avx2)
    monkeypatch.setattr(thin, "PIECE", 24 * 16)  # the last of three pieces is a short one
    x, weight = torch.randn(rows, 24), torch.randn(40, 24)
    assert torch.allclose(thin_linear(x, weight), F.linear(x, weight), atol=1e-5)
