"""From a conditional and an unconditional velocity to one: APG, ADG and plain guidance."""

from __future__ import annotations

import torch
from torch import Tensor

APG_MOMENTUM = -0.75
APG_NORM = 2.5
# the published code says 3.14 where it means pi; kept, since the checkpoints were judged with it
ADG_LIMIT = 3.14 / 6
_COS_EDGE = 1 - 1e-6


def _wide(x: Tensor) -> Tensor:
    """x in double precision, on the CPU where the device has none."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def plain(c: Tensor, u: Tensor, scale: float) -> Tensor:
    """Classifier-free guidance."""
    return u + scale * (c - u)


class ProjectedGuidance:
    """APG: a running difference, limited in size, without its part along the prediction.

    Norms and projection run over time, per item and channel.
    """

    def __init__(self) -> None:
        self._running: Tensor | None = None

    def direction(self, c: Tensor, u: Tensor) -> Tensor:
        """The running difference once c and u [B, T, C] are in it; advances nothing."""
        difference = c - u
        if self._running is None:
            return difference
        return difference + APG_MOMENTUM * self._running

    def advance(self, running: Tensor) -> None:
        """Keeps `running` for the next step."""
        self._running = running

    def guided(self, c: Tensor, direction: Tensor, scale: float) -> Tensor:
        """The velocity for a running difference of `direction`."""
        norm = direction.norm(dim=1, keepdim=True)
        direction = direction * (APG_NORM / norm.clamp(min=1e-12)).clamp(max=1.0)
        along = _wide(c)
        along = along / along.norm(dim=1, keepdim=True).clamp(min=1e-12)
        wide = _wide(direction)
        across = wide - (wide * along).sum(1, keepdim=True) * along
        return c + (scale - 1) * across.to(c)

    def __call__(self, c: Tensor, u: Tensor, scale: float) -> Tensor:
        """c, u [B, T, C] -> the guided velocity; the running difference moves on."""
        running = self.direction(c, u)
        self.advance(running)
        return self.guided(c, running, scale)


def angular(x: Tensor, c: Tensor, u: Tensor, t: float, scale: float) -> Tensor:
    """ADG: turns the predicted data away from the unconditional one, frame by frame.

    Args:
        x: latents [B, T, C] at time t.
        c, u: the two velocities.
        t: time, above 0.
        scale: as for the others; 1 is none.
    """
    weight = max(scale - 1, 0.0) + 1e-3
    xc, xu = x - t * c, x - t * u
    a, b = _wide(xc), _wide(xu)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=-1)[..., None]
    angle = torch.acos(cosine.clamp(-_COS_EDGE, _COS_EDGE))
    turned = (weight * angle).clamp(-ADG_LIMIT, ADG_LIMIT)
    sine = angle.sin()
    share = torch.where(sine > 1e-3, turned.sin() / sine, torch.full_like(sine, weight)).to(x)
    along = ((xc - xu) * xu).sum(-1, keepdim=True) / (xu.square().sum(-1, keepdim=True) + 1e-8)
    across = (xc - xu) - along * xu
    x0 = turned.cos().to(x) * xc + across * share
    return (x - x0) / t


def clamped(v: Tensor, x: Tensor, threshold: float) -> Tensor:
    """Limits the size of v [B, T, C] to `threshold` times that of x, per item."""
    size = x.norm(dim=(1, 2), keepdim=True) + 1e-10
    ratio = threshold * size / (v.norm(dim=(1, 2), keepdim=True) + 1e-10)
    return v * ratio.clamp(max=1.0)
