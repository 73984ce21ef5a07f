"""Weight normalisation as checkpoints store it, folded into plain weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from lofi.nn.convolution import channels_last

GAIN, DIRECTION = ".weight_g", ".weight_v"


def _nothing() -> None:
    """The check of a caller who never cancels."""


def fold_weight_norm(
    tensors: Mapping[str, Tensor], check: Callable[[], None] = _nothing
) -> dict[str, Tensor]:
    """Replaces each `weight_g`, `weight_v` by the `weight` they stand for.

    The length is taken per index of dimension 0, which for transposed convolutions is the input
    channel. Worked out in float32, given in the dtype it is stored in, laid out channels last.
    `check` is called before each weight.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(DIRECTION):
            check()
            stem = name.removesuffix(DIRECTION)
            wide = tensor.float()
            norm = wide.flatten(1).norm(dim=1).view(-1, 1, 1)
            weight = (tensors[stem + GAIN].float() * wide / norm).to(tensor.dtype)
            folded[f"{stem}.weight"] = channels_last(weight)
        elif not name.endswith(GAIN):
            folded[name] = tensor
    return folded
