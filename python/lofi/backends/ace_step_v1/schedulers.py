"""Schedules and the steps of the three solvers: euler, heun and pingpong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lofi.errors import InvalidInferenceSteps, InvalidScheduler

SHIFT = 3.0
TRAINING_STEPS = 1000


def shifted(sigma: float) -> float:
    """Moves a noise level towards 1, where the model needs more steps."""
    return SHIFT * sigma / (1 + (SHIFT - 1) * sigma)


LOWEST = shifted(1 / TRAINING_STEPS)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Noise levels of a generation, one more than evaluations; the last is 0."""

    kind: str
    steps: int
    timesteps: Tensor
    """[evaluations], 1000 times the level of each, as the network is told."""
    sigmas: Tensor
    """[evaluations + 1]."""

    @property
    def evaluations(self) -> int:
        """How often the network is asked: twice a step but for the last one with heun."""
        return len(self.timesteps)


def schedule(
    kind: str, steps: int, *, sigma_max: float = 1.0, chosen: Sequence[int] = ()
) -> Schedule:
    """Returns the schedule of `steps` steps from noise level `sigma_max`.

    Args:
        kind: euler, heun or pingpong.
        chosen: 1-based numbers of steps to keep of a schedule as long as the largest of them
            (`oss_steps`); their count replaces `steps`.

    Raises:
        InvalidScheduler: heun with chosen steps, or an unknown kind.
        InvalidInferenceSteps: chosen steps that are not rising numbers from 1.
    """
    if kind not in ("euler", "heun", "pingpong"):
        raise InvalidScheduler(f"There is no scheduler {kind!r}", hint="euler, heun or pingpong.")
    levels = np.linspace(shifted(sigma_max), LOWEST, steps)
    if chosen:
        if kind == "heun":
            raise InvalidScheduler(
                "oss_steps does not go with the heun scheduler",
                hint="Use euler or pingpong, or leave oss_steps out.",
                param="oss_steps",
            )
        if min(chosen) < 1 or any(b <= a for a, b in itertools.pairwise(chosen)):
            raise InvalidInferenceSteps(
                f"oss_steps must be rising numbers from 1, got {list(chosen)}",
                hint="For example [16, 29, 52, 96, 129, 158, 172, 183, 189, 200].",
                param="oss_steps",
            )
        whole = schedule(kind, max(chosen), sigma_max=sigma_max)
        kept = whole.timesteps[[number - 1 for number in chosen]]
        levels = kept.double().numpy() / TRAINING_STEPS
        steps = len(chosen)
    # the levels are shifted twice (chosen ones three times): so the model was sampled
    levels = SHIFT * levels / (1 + (SHIFT - 1) * levels)
    sigmas = torch.from_numpy(levels.astype(np.float32))
    if kind == "heun":
        sigmas = torch.cat((sigmas[:1], sigmas[1:].repeat_interleave(2)))
    timesteps = sigmas * TRAINING_STEPS
    return Schedule(kind, steps, timesteps, torch.cat((sigmas, sigmas.new_zeros(1))))


def granularity(omega_scale: float) -> float:
    """Returns the factor on a step's deviation from its mean: 1 at 0, within 0.9..1.1."""
    return 0.9 + 0.2 / (1 + math.exp(-0.1 * omega_scale))


class Stepper:
    """Turns velocities into latents, one evaluation after the other."""

    def __init__(
        self, plan: Schedule, omega_scale: float, draw: Callable[[tuple[int, ...]], Tensor]
    ) -> None:
        """`draw` gives pingpong its fresh noise."""
        self._plan = plan
        self._factor = granularity(omega_scale)
        self._draw = draw
        self._before: tuple[Tensor, Tensor, float] | None = None

    def step(self, index: int, x: Tensor, velocity: Tensor) -> Tensor:
        """x and velocity [B, 8, 16, T] float32 of evaluation `index` -> the next x."""
        here, there = (float(sigma) for sigma in self._plan.sigmas[index : index + 2])
        if self._plan.kind == "pingpong":
            # drawn in the last step too, where its share is 0
            noise = self._draw(tuple(x.shape)).to(x)
            return (1 - there) * (x - here * velocity) + there * noise
        if self._plan.kind == "euler":
            return x + self._moved((there - here) * velocity)
        if self._before is not None:
            start, first, width = self._before
            self._before = None
            return start + self._moved(0.5 * (first + velocity) * width)
        width = there - here
        if index < self._plan.evaluations - 1:
            self._before = (x, velocity, width)
        return x + self._moved(velocity * width)

    def _moved(self, change: Tensor) -> Tensor:
        # the mean runs over the whole batch, as in the original
        mean = change.mean()
        return (change - mean) * self._factor + mean
