"""Guidance: which steps get it, how strong, and the formulas."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lofi.backends.ace_step_v1.apg import Apg, rescaled

PLANE = (-2, -1)
"""Norms run over the 16 x T plane of an item's channel."""
ZERO_STEPS = 1
"""Up to this guided step cfg_star predicts nothing at all."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """How a generation is guided."""

    scale: float = 15.0
    kind: str = "apg"
    interval: float = 0.5
    interval_decay: float = 0.0
    min_scale: float = 3.0
    text_scale: float = 0.0
    lyric_scale: float = 0.0

    @property
    def is_on(self) -> bool:
        """A scale of exactly 0 or 1 switches every kind of guidance off."""
        return self.scale not in (0.0, 1.0)

    @property
    def is_double(self) -> bool:
        """Whether text and lyrics are guided apart, which replaces the kind."""
        return self.is_on and self.text_scale > 1 and self.lyric_scale > 1

    def span(self, steps: int) -> range:
        """Returns the numbers of the guided steps."""
        return range(int(steps * (1 - self.interval) / 2), int(steps * (self.interval / 2 + 0.5)))

    def scale_at(self, index: int, steps: int) -> float:
        """Returns the strength of guided step `index`."""
        span = self.span(steps)
        if self.interval_decay <= 0 or len(span) < 2:
            return self.scale
        done = (index - span.start) / (len(span) - 1)
        return self.scale - (self.scale - self.min_scale) * done * self.interval_decay


class Guide:
    """Combines the predictions of one generation's guided steps."""

    def __init__(self, settings: Guidance, steps: int) -> None:
        self._settings = settings
        self._steps = steps
        self._span = settings.span(steps)
        self._apg = Apg(PLANE)

    def wants(self, index: int) -> bool:
        """Whether evaluation `index` needs the unconditional predictions."""
        return self._settings.is_on and index in self._span

    def combine(self, index: int, predictions: tuple[Tensor, ...]) -> Tensor:
        """Returns the velocity of (conditional, [text only,] unconditional) predictions."""
        conditional, unconditional = predictions[0], predictions[-1]
        settings = self._settings
        if settings.is_double:
            text_only = predictions[1]
            return double(
                conditional, text_only, unconditional, settings.text_scale, settings.lyric_scale
            )
        scale = settings.scale_at(index, self._steps)
        if settings.kind == "cfg":
            return rescaled(conditional, unconditional, scale)
        if settings.kind == "cfg_star":
            return star(conditional, unconditional, scale, index)
        return self._apg(conditional, unconditional, scale)


def star(conditional: Tensor, unconditional: Tensor, scale: float, index: int) -> Tensor:
    """CFG-Zero-star: the unconditional prediction is first fitted to the conditional one."""
    if index <= ZERO_STEPS:
        return torch.zeros_like(conditional)
    c, u = conditional.flatten(1), unconditional.flatten(1)
    fit = (c * u).sum(1, keepdim=True) / (u.square().sum(1, keepdim=True) + 1e-8)
    fitted = unconditional * fit.view(-1, *[1] * (unconditional.dim() - 1))
    return rescaled(conditional, fitted, scale)


def double(
    conditional: Tensor,
    text_only: Tensor,
    unconditional: Tensor,
    text_scale: float,
    lyric_scale: float,
) -> Tensor:
    """Guides towards the text and, by its own scale, from there towards the lyrics."""
    return (
        (1 - text_scale) * unconditional
        + (text_scale - lyric_scale) * text_only
        + lyric_scale * conditional
    )
