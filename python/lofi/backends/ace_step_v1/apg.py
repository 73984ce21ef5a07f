"""Adaptive projected guidance: the part of a guidance step that does not just turn the gain up."""

from __future__ import annotations

import torch
from torch import Tensor

MOMENTUM = -0.75
NORM_LIMIT = 2.5


class Apg:
    """Guides the predictions of one generation; the running difference lives in the object."""

    def __init__(self, axes: tuple[int, ...], *, momentum: float = MOMENTUM) -> None:
        """`axes` are those a norm runs over, per item and channel."""
        self._axes = axes
        self._momentum = momentum
        self._running: Tensor | None = None

    def __call__(self, conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
        """Returns the guided prediction, of the shape and dtype of `conditional`."""
        difference = conditional - unconditional
        if self._momentum:
            if self._running is not None:
                difference = difference + self._momentum * self._running
            self._running = difference
        norm = difference.norm(p=2, dim=self._axes, keepdim=True)
        limited = difference * (NORM_LIMIT / norm).clamp(max=1.0)
        _, across = split(limited, conditional, self._axes)
        return conditional + (scale - 1) * across


def split(x: Tensor, along: Tensor, axes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Returns the parts of x parallel and orthogonal to `along`, worked out in float64."""
    # Apple's GPUs have no float64; these tensors are small
    wide = [t.cpu().double() if t.device.type == "mps" else t.double() for t in (x, along)]
    norm = wide[1].norm(p=2, dim=axes, keepdim=True).clamp_min(1e-12)
    unit = wide[1] / norm
    parallel = (wide[0] * unit).sum(dim=axes, keepdim=True) * unit
    orthogonal = wide[0] - parallel
    return parallel.to(x.device, x.dtype), orthogonal.to(x.device, x.dtype)


def rescaled(conditional: Tensor, unconditional: Tensor, scale: float) -> Tensor:
    """Returns plain classifier-free guidance: u + scale * (c - u)."""
    return torch.lerp(unconditional, conditional, scale)
