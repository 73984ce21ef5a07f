"""The times a sampler stops at, from 1 (noise) to 0 (data)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

TABLE_STEPS = 8
TABLE_SHIFTS = (1.0, 2.0, 3.0)
MAX_TURBO_STEPS = 20


@dataclass(frozen=True, slots=True)
class Schedule:
    """`times` has one value more than there are steps: the last is the end point."""

    times: tuple[float, ...]
    is_turbo: bool

    @property
    def steps(self) -> int:
        """How many steps are made."""
        return len(self.times) - 1

    def from_nearest(self, t: float) -> Schedule:
        """What is left from the step whose time is nearest to `t`, the first on ties."""
        starts = self.times[:-1]
        nearest = min(range(len(starts)), key=lambda i: abs(starts[i] - t))
        return Schedule(self.times[nearest:], self.is_turbo)


def shifted(u: float, shift: float) -> float:
    """Moves a uniform time towards noise."""
    return shift * u / (1 + (shift - 1) * u)


def turbo_times(steps: int, shift: float) -> list[float]:
    """Turbo's times without the end point, at most 20 of them."""
    steps = min(max(1, steps), MAX_TURBO_STEPS)
    shift = shift if shift > 0 else 1.0
    return [shifted(1 - i / steps, shift) for i in range(steps)]


def turbo_table(shift: float) -> list[float]:
    """The eight times turbo was distilled on, for the shift of 1, 2 or 3 nearest to `shift`."""
    return turbo_times(TABLE_STEPS, min(TABLE_SHIFTS, key=lambda known: abs(known - shift)))


def turbo_custom(times: Sequence[float]) -> list[float]:
    """Each time snapped to the nearest of the tables' 20; trailing zeros dropped."""
    wanted = list(times)
    while wanted and wanted[-1] == 0:
        wanted.pop()
    known = sorted({t for shift in TABLE_SHIFTS for t in turbo_table(shift)}, reverse=True)
    return [min(known, key=lambda t: abs(t - w)) for w in wanted[:MAX_TURBO_STEPS]]


def base_times(steps: int, shift: float, dtype: torch.dtype = torch.float32) -> list[float]:
    """The times of base and sft, end point included, computed in `dtype` as published."""
    shift = shift if shift > 0 else 1.0
    t = torch.linspace(1, 0, max(1, steps) + 1, dtype=dtype)
    if not math.isclose(shift, 1.0):
        t = shift * t / (1 + (shift - 1) * t)
    return [float(value) for value in t]


def schedule_for(
    *,
    is_turbo: bool,
    steps: int | None,
    shift: float,
    times: Sequence[float] | None = None,
) -> Schedule:
    """The schedule of a sampling run.

    Args:
        is_turbo: the checkpoint is guidance distilled.
        steps: how many; None takes turbo's table of eight, and needs `times` for base.
        shift: 1 is uniform.
        times: overrides both. Turbo snaps them; base takes them as they are, end point included.
    """
    if is_turbo:
        found = turbo_custom(times) if times else []
        if not found:
            found = turbo_table(shift) if steps is None else turbo_times(steps, shift)
        return Schedule((*found, 0.0), True)
    if times:
        return Schedule(tuple(float(t) for t in times), False)
    if steps is None:
        raise ValueError("base and sft need a step count")
    return Schedule(tuple(base_times(steps, shift)), False)


def edit_schedule(*, steps: int, shift: float, times: Sequence[float] | None = None) -> Schedule:
    """Flow edit closes every schedule with 0 and uses the base formula for all checkpoints."""
    if times:
        found = tuple(float(t) for t in times)
        return Schedule(found if found[-1] == 0 else (*found, 0.0), False)
    return Schedule(tuple(base_times(steps, shift)), False)
