"""Flow edit: leads a source along the difference between two descriptions of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lofi.backends.ace_step_v1.apg import Apg
from lofi.backends.ace_step_v1.guidance import PLANE
from lofi.backends.ace_step_v1.schedulers import Schedule
from lofi.backends.ace_step_v1.velocity import Velocities


@dataclass(frozen=True, slots=True)
class Span:
    """The part of the schedule in which both descriptions count."""

    begin: float
    """Share of the steps left out at the start: more keeps more of the source."""
    end: float
    """Share of the steps after which the target alone leads."""
    averages: int = 1
    """Noises each step is averaged over."""


class _Guided:
    """Velocities of one description under adaptive projected guidance in every step."""

    def __init__(self, velocities: Velocities, scale: float, apg: Apg) -> None:
        self._velocities = velocities
        self._scale = scale
        self._apg = apg

    def __call__(self, index: int, x: Tensor) -> Tensor:
        if self._scale in (0.0, 1.0):
            return self._velocities.conditional(index, x)
        conditional, unconditional = self._velocities.every(index, x)
        return self._apg(conditional, unconditional, self._scale)


@torch.inference_mode()
def edit(
    source: Tensor,
    plan: Schedule,
    source_velocities: Velocities,
    target_velocities: Velocities,
    scale: float,
    span: Span,
    draw: Callable[[tuple[int, ...]], Tensor],
) -> Iterator[Tensor]:
    """Yields the latents after every step taken, and the source itself when there is none.

    Args:
        source: [B, 8, 16, T] float32.
        plan: an euler schedule.
        scale: guidance of both descriptions; 0 and 1 mean none.
        draw: noise of a shape, in order: every average of every step, then one more where the
            target takes over.
    """
    sigmas = [float(sigma) for sigma in plan.sigmas]
    begin, end = int(plan.steps * span.begin), int(plan.steps * span.end)
    leading = _Guided(source_velocities, scale, Apg(PLANE))
    # the target has no momentum while both count, and a fresh one afterwards
    following = _Guided(target_velocities, scale, Apg(PLANE, momentum=0.0))
    alone = _Guided(target_velocities, scale, Apg(PLANE))
    x = source
    for index in range(begin, plan.steps):
        here, width = sigmas[index], sigmas[index + 1] - sigmas[index]
        if index < end:
            total = torch.zeros_like(source)
            for _ in range(span.averages):
                noised = (1 - here) * source + here * draw(tuple(source.shape)).to(source)
                total += following(index, x + noised - source) - leading(index, noised)
            x = x + width * total / span.averages
        else:
            if index == max(begin, end):
                x = x + here * (draw(tuple(source.shape)).to(source) - source)
            x = x + width * alone(index, x)
        yield x
    if begin >= plan.steps:
        yield x
