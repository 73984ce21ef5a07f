from __future__ import annotations

import pytest
import torch

from lofi.nn.norms import RMSNorm


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_norm_is_taken_in_float32(dtype: torch.dtype) -> None:
    norm = RMSNorm(64, 1e-6).to(dtype)
    x = (torch.randn(3, 5, 64) * 300).to(dtype)
    wide = x.double()
    expected = wide / (wide.square().mean(-1, keepdim=True) + 1e-6).sqrt()
    assert norm(x).dtype == dtype
    torch.testing.assert_close(norm(x), expected.to(dtype))
