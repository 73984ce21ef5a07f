"""Linear layers for few rows give what others give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lofi.nn.thin import ThinLinear, lay_by_columns, make_thin, thin_linear


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


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
def test_how_the_weights_lie_changes_no_product(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    module = nn.Sequential(nn.Linear(24, 40, bias=False), nn.Linear(40, 3))
    make_thin(module)
    thin = module.get_submodule("0")
    assert isinstance(thin, ThinLinear)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    x = torch.randn(rows, 24)
    expected = thin(x)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    lay_by_columns(module)
    assert thin.weight.stride() == (24, 1)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    lay_by_columns(module)
    assert thin.weight.stride() == (1, 40)
    assert torch.allclose(thin(x), expected, atol=1e-5)
    after = module.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    lay_by_columns(module.to(torch.bfloat16))
    assert thin(x.bfloat16()).shape == (rows, 40)
