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
    channel. Weights are float32, whatever they are stored in, and laid out channels last.
    `check` is called before each weight.

    Raises:
        KeyError: names the `weight_g` that is missing or of another shape.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(DIRECTION):
            check()
            stem = name.removesuffix(DIRECTION)
            gain = tensors.get(stem + GAIN)
            if gain is None or gain.shape != (len(tensor), 1, 1):
                raise KeyError(stem + GAIN)
            wide = tensor.float()
            norm = wide.flatten(1).norm(dim=1).view(-1, 1, 1)
            folded[f"{stem}.weight"] = channels_last(gain.float() * wide / norm)
        elif not name.endswith(GAIN):
            folded[name] = tensor
    return folded
