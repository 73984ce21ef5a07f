"""The sampling loops: from noise, from a noised reference, and inside a source.

Each is a generator that yields the latents after every evaluation; the last yield is the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lofi.backends.ace_step_v1.guidance import Guidance, Guide
from lofi.backends.ace_step_v1.schedulers import Schedule, Stepper, schedule, shifted
from lofi.backends.ace_step_v1.velocity import Velocities


def _velocity(guide: Guide, velocities: Velocities, index: int, x: Tensor) -> Tensor:
    if guide.wants(index):
        return guide.combine(index, velocities.every(index, x))
    return velocities.conditional(index, x)


@torch.inference_mode()
def denoise(
    x: Tensor,
    plan: Schedule,
    velocities: Velocities,
    guidance: Guidance,
    omega_scale: float,
    draw: Callable[[tuple[int, ...]], Tensor],
) -> Iterator[Tensor]:
    """Text to music: x [B, 8, 16, T] float32 noise, or a reference noised to the first level.

    With heun the guided span counts evaluations while its ends come from the number of steps.
    """
    guide = Guide(guidance, plan.steps)
    stepper = Stepper(plan, omega_scale, draw)
    for index in range(plan.evaluations):
        x = stepper.step(index, x, _velocity(guide, velocities, index, x))
        yield x


def mixed(noise: Tensor, other: Tensor, variance: float) -> Tensor:
    """Returns a noise between the two: 0 is the first, 1 the second."""
    angle = variance * math.pi / 2
    return math.cos(angle) * noise + math.sin(angle) * other


@dataclass(frozen=True, slots=True)
class Reference:
    """Where audio2audio begins."""

    start: Tensor
    """[B, 8, 16, T]: the reference under noise."""
    plan: Schedule | None
    """None: so near the reference that there is no step to take."""


def from_reference(
    reference: Tensor, noise: Tensor, kind: str, steps: int, strength: float
) -> Reference:
    """Returns the start of audio2audio: `strength` 1 is the reference, 0 pure noise.

    The first timestep lies above the noise level of the start; the model is sampled so.
    """
    level = 1 - strength
    fewer = int(level * steps)
    if fewer < 1:
        return Reference(reference, None)
    start = reference * (1 - shifted(level)) + noise * shifted(level)
    return Reference(start, schedule(kind, fewer, sigma_max=level))


@dataclass(frozen=True, slots=True)
class Canvas:
    """A source with a part to be made anew."""

    source: Tensor
    """[B, 8, 16, T], anything where there is no source."""
    noise: Tensor
    """[B, 8, 16, T]."""
    mask: Tensor
    """[T], True where music is made."""


def repaint_canvas(
    source: Tensor, noise: Tensor, other: Tensor, start: int, stop: int, variance: float
) -> Canvas:
    """Returns the canvas that makes frames start..stop anew, the noises mixed inside."""
    frames = torch.arange(source.shape[-1], device=source.device)
    mask = (frames >= start) & (frames < stop)
    return Canvas(source, torch.where(mask, mixed(noise, other, variance), noise), mask)


def extend_canvas(source: Tensor, noise: Tensor, before: Tensor, after: Tensor) -> Canvas:
    """Returns the canvas of `source` with new music where `before` and `after` are noise."""
    left, right = before.shape[-1], after.shape[-1]
    shape = source.shape[:-1]
    whole = torch.cat(
        (source.new_zeros(*shape, left), source, source.new_zeros(*shape, right)), dim=-1
    )
    mask = torch.ones(whole.shape[-1], dtype=torch.bool, device=source.device)
    mask[left : left + source.shape[-1]] = False
    return Canvas(whole, torch.cat((before, noise, after), dim=-1), mask)


@torch.inference_mode()
def inpaint(
    canvas: Canvas, plan: Schedule, velocities: Velocities, guidance: Guidance, variance: float
) -> Iterator[Tensor]:
    """Repaint and extend: plain euler whatever the schedule, the source kept outside the mask.

    Args:
        variance: 1 makes all of the masked part; less skips the first steps and keeps some of it.
            0 yields the source.
    """
    guide = Guide(guidance, plan.steps)
    sigmas = [float(sigma) for sigma in plan.sigmas]
    source, noise = canvas.source, canvas.noise
    first = int(plan.evaluations * (1 - variance))
    if first >= plan.evaluations:
        yield source
        return
    x = (1 - sigmas[first]) * source + sigmas[first] * noise
    for index in range(first, plan.evaluations):
        here, there = sigmas[index], sigmas[index + 1]
        moved = x + (there - here) * _velocity(guide, velocities, index, x)
        x = torch.where(canvas.mask, moved, (1 - there) * source + there * noise)
        yield x
