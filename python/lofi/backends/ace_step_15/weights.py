"""From the published files to our modules."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lofi.nn.convolution import channels_last


def fold_weight_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replaces each `weight_g`, `weight_v` by the `weight` they stand for.

    The length is taken per index of dimension 0, which for transposed convolutions is the input
    channel. Weights of plain convolutions are laid out channels last.
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(".weight_v"):
            stem = name.removesuffix(".weight_v")
            v = tensor.float()
            norm = v.flatten(1).norm(dim=1).view(-1, 1, 1)
            weight = (tensors[f"{stem}.weight_g"].float() * v / norm).to(tensor.dtype)
            folded[f"{stem}.weight"] = channels_last(weight)
        elif not name.endswith(".weight_g"):
            folded[name] = tensor
    return folded
