"""From noise to latents: Euler, Heun and SDE steps with all their options."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from lofi.backends.ace_step_15 import guidance
from lofi.backends.ace_step_15.dit import Decoder, Memory
from lofi.backends.ace_step_15.encoders import never
from lofi.backends.ace_step_15.guidance import ProjectedGuidance
from lofi.backends.ace_step_15.repaint import Repaint, blended, injected
from lofi.backends.ace_step_15.schedule import Schedule
from lofi.backends.ace_step_15.wavelet import Mode, corrected
from lofi.worker.backend import Check

Solver = Literal["euler", "heun", "sde"]


@dataclass(frozen=True, slots=True)
class Guidance:
    """How far to lean away from the null condition, and while t is in which interval."""

    scale: float = 1.0
    use_adg: bool = False
    start: float = 0.0
    end: float = 1.0

    def holds(self, t: float) -> bool:
        """Whether step time t is guided."""
        return self.scale > 1 and self.start <= t <= self.end


@dataclass(frozen=True, slots=True)
class Wavelet:
    """The wavelet correction."""

    mode: Mode = "double"
    scaler: float = 0.05
    high_scaler: float = 0.02
    wavelet: str = "haar"


@dataclass(frozen=True, slots=True)
class View:
    """What the decoder looks at beside the latents."""

    memory: Memory
    context: Tensor
    """[B, T, 2 C]."""
    null: Memory | None = None
    """The null condition's, when guidance may be used."""


@dataclass(frozen=True, slots=True)
class Switch:
    """From share `at` of the steps on, look at `view` (cover strength)."""

    at: float
    view: View


@dataclass(frozen=True, slots=True)
class Sampling:
    """Everything that shapes a run but the condition and the noise."""

    schedule: Schedule
    solver: Solver = "euler"
    guidance: Guidance = Guidance()
    norm_threshold: float = 0.0
    """Limits the velocity to this many times the latents' size; 0 does not."""
    ema: float = 0.0
    """Share of the previous velocity mixed into each."""
    wavelet: Wavelet | None = None
    repaint: Repaint | None = None
    switch: Switch | None = None


Draw = Callable[[int], Tensor]
"""Fresh noise [B, T, C] of step i, for the SDE solver."""


class Velocities:
    """Asks the decoder, guides and limits; keeps what runs from step to step."""

    def __init__(self, decoder: Decoder, options: Sampling, check: Check) -> None:
        self._decoder, self._options, self._check = decoder, options, check
        self._projected = ProjectedGuidance()
        self._previous: Tensor | None = None

    def raw(self, x: Tensor, t: float, memory: Memory, context: Tensor) -> Tensor:
        """The decoder's own prediction."""
        times = torch.full((len(x),), t, device=x.device)
        return self._decoder(x, context, memory, times, check=self._check)

    def _pair(self, x: Tensor, t: float, view: View) -> tuple[Tensor, Tensor | None]:
        c = self.raw(x, t, view.memory, view.context)
        if view.null is None or not self._options.guidance.holds(t):
            return c, None
        return c, self.raw(x, t, view.null, view.context)

    def predicted(self, x: Tensor, t: float, view: View) -> Tensor:
        """The velocity a step starts with: guided, limited, averaged with the last one."""
        chosen = self._options.guidance
        c, u = self._pair(x, t, view)
        if u is None:
            v = c
        elif chosen.use_adg:
            v = guidance.angular(x, c, u, t, chosen.scale)
        else:
            v = self._projected(c, u, chosen.scale)
        return self._tamed(v, x, self._previous)

    def correction(self, x: Tensor, t: float, view: View, first: Tensor) -> Tensor:
        """Heun's second look: plain guidance, so that the running difference moves once a step."""
        chosen = self._options.guidance
        c, u = self._pair(x, t, view)
        if u is None:
            v = c
        elif chosen.use_adg and t > 0:
            v = guidance.angular(x, c, u, t, chosen.scale)
        else:
            v = guidance.plain(c, u, chosen.scale)
        return self._tamed(v, x, first)

    def _tamed(self, v: Tensor, x: Tensor, previous: Tensor | None) -> Tensor:
        if self._options.norm_threshold > 0:
            v = guidance.clamped(v, x, self._options.norm_threshold)
        if self._options.ema > 0 and previous is not None:
            v = (1 - self._options.ema) * v + self._options.ema * previous
        return v

    def keep(self, v: Tensor) -> None:
        """The final velocity of a step, for the next one's average."""
        self._previous = v


@torch.inference_mode()
def sample(
    decoder: Decoder,
    noise: Tensor,
    view: View,
    options: Sampling,
    *,
    draw: Draw | None = None,
    start: Tensor | None = None,
    check: Check = never,
) -> Generator[int, None, Tensor]:
    """Yields after each step how many are done; returns the latents [B, T, C].

    Args:
        decoder: the network.
        noise: [B, T, C], float32.
        view: condition and context.
        options: schedule and everything else.
        draw: noise of step i; the SDE solver needs it.
        start: where to begin instead of at `noise`.
        check: called after each layer.
    """
    schedule = options.schedule
    velocities = Velocities(decoder, options, check)
    x = noise if start is None else start
    for i in range(schedule.steps):
        t, t_next = schedule.times[i], schedule.times[i + 1]
        if options.switch is not None and i >= int(schedule.steps * options.switch.at):
            view = options.switch.view
        before = x
        v = first = velocities.predicted(x, t, view)
        if options.solver == "sde":
            if draw is None:
                raise ValueError("the SDE solver needs noise to draw")
            x = _renoised(x - v * t, draw, i, schedule)
        else:
            # turbo's last step lands on the data, where it was never asked
            if options.solver == "heun" and not (schedule.is_turbo and i == schedule.steps - 1):
                guess = x - v * (t - t_next)
                v = (v + velocities.correction(guess, t_next, view, v)) / 2
            x = x - v * (t - t_next)
        velocities.keep(v)
        if options.wavelet is not None:
            x = _correct(x, before - first * t, t, options.wavelet)
        if options.repaint is not None and _injects(options.repaint, i, schedule):
            x = injected(x, options.repaint, noise, t_next)
        yield i + 1
    return x if options.repaint is None else blended(x, options.repaint)


def _renoised(x0: Tensor, draw: Draw, i: int, schedule: Schedule) -> Tensor:
    # base ignores shift and custom times here, as published
    level = schedule.times[i + 1] if schedule.is_turbo else 1 - (i + 1) / schedule.steps
    return x0 if level == 0 else level * draw(i) + (1 - level) * x0


def _injects(repaint: Repaint, i: int, schedule: Schedule) -> bool:
    if schedule.is_turbo and i == schedule.steps - 1:
        return False
    return i < round(repaint.injection_ratio * schedule.steps)


def _correct(x: Tensor, y: Tensor, t: float, wavelet: Wavelet) -> Tensor:
    return corrected(
        x,
        y,
        t,
        mode=wavelet.mode,
        scaler=wavelet.scaler,
        high_scaler=wavelet.high_scaler,
        wavelet=wavelet.wavelet,
    )


def varied(noise: Tensor, other: Tensor, variance: float) -> Tensor:
    """Noise turned towards another by `variance` (0 none, 1 wholly), its size kept."""
    angle = variance * math.pi / 2
    return math.cos(angle) * noise + math.sin(angle) * other


def from_source(
    schedule: Schedule, noise: Tensor, source: Tensor, strength: float
) -> tuple[Schedule, Tensor]:
    """Begins near a source: the rest of the schedule and where to start.

    Args:
        strength: 0 is pure noise, 1 as near to the source as the schedule goes.
    """
    if strength <= 0:
        return schedule, noise
    rest = schedule.from_nearest(1 - strength)
    t = rest.times[0]
    return rest, t * noise + (1 - t) * source


def with_switch(options: Sampling, at: float, view: View) -> Sampling:
    """`options` that look at `view` from share `at` of the steps on."""
    return replace(options, switch=Switch(at, view))


def listed(draws: Sequence[Tensor]) -> Draw:
    """Noise that is already there, step by step."""
    return lambda i: draws[i]
