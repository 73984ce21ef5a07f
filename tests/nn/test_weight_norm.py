"""Folded weights against torch's own weight normalisation."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from lofi.nn.weight_norm import fold_weight_norm


def test_folding_equals_the_library() -> None:
    torch.manual_seed(0)
    for conv in (nn.Conv1d(6, 4, 3), nn.ConvTranspose1d(6, 4, 8, stride=4)):
        normed = weight_norm(conv)
        gain, direction = (
            normed.get_parameter(f"parametrizations.weight.original{index}") for index in (0, 1)
        )
        state = {"up.weight_g": gain.detach() * 2, "up.weight_v": direction.detach()}
        folded = fold_weight_norm({**state, "up.bias": torch.ones(4)})
        assert sorted(folded) == ["up.bias", "up.weight"]
        torch.testing.assert_close(folded["up.weight"], 2 * normed.weight.detach())


def test_half_the_precision_on_disk_is_not_rounded_to_again() -> None:
    state = {"a.weight_g": torch.rand(2, 1, 1).bfloat16(), "a.weight_v": torch.randn(2, 3, 5)}
    state["a.weight_v"] = state["a.weight_v"].bfloat16()
    wide = {name: tensor.float() for name, tensor in state.items()}
    assert torch.equal(fold_weight_norm(state)["a.weight"], fold_weight_norm(wide)["a.weight"])


@pytest.mark.parametrize("gain", [None, torch.ones(3, 1, 1), torch.ones(2)])
def test_a_length_that_is_not_there_is_named(gain: torch.Tensor | None) -> None:
    state = {"a.weight_v": torch.randn(2, 3, 5)} | ({} if gain is None else {"a.weight_g": gain})
    with pytest.raises(KeyError, match=r"a\.weight_g"):
        fold_weight_norm(state)
