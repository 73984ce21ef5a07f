"""Flow edit: morphs a source towards a new prompt by the difference of two velocities."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass

import torch
from torch import Tensor

from lofi.backends.ace_step_15 import guidance
from lofi.backends.ace_step_15.dit import Decoder
from lofi.backends.ace_step_15.encoders import never
from lofi.backends.ace_step_15.guidance import ProjectedGuidance
from lofi.backends.ace_step_15.sampler import Sampling, View
from lofi.worker.backend import Check


@dataclass(frozen=True, slots=True)
class Edit:
    """Which share of the schedule is edited, and how many draws each step averages."""

    n_min: float = 0.0
    n_max: float = 1.0
    n_avg: int = 1


class _Branch:
    """One of the two prompts: its guidance runs on its own."""

    def __init__(self, decoder: Decoder, view: View, options: Sampling, check: Check) -> None:
        self._decoder, self._view, self._options, self._check = decoder, view, options, check
        self._projected = ProjectedGuidance()
        self._differences: list[Tensor] = []
        self._previous: Tensor | None = None

    def velocity(self, x: Tensor, t: float) -> Tensor:
        """Guided and limited. Every draw of a step starts from the same running difference."""
        times = torch.full((len(x),), t, device=x.device)
        chosen, view = self._options.guidance, self._view
        v = self._decoder(x, view.context, view.memory, times, check=self._check)
        if view.null is not None and chosen.holds(t):
            u = self._decoder(x, view.context, view.null, times, check=self._check)
            self._differences.append(v - u)
            v = self._projected.guided(v, self._projected.direction(v, u), chosen.scale)
        if self._options.norm_threshold > 0:
            v = guidance.clamped(v, x, self._options.norm_threshold)
        return v

    def settled(self, draws: list[Tensor]) -> Tensor:
        """The step's velocity: the mean of its draws, averaged with the last step's."""
        if self._differences:
            mean = torch.stack(self._differences).mean(0)
            self._projected.advance(self._projected.direction(mean, torch.zeros_like(mean)))
            self._differences.clear()
        v = torch.stack(draws).mean(0)
        if self._options.ema > 0 and self._previous is not None:
            v = (1 - self._options.ema) * v + self._options.ema * self._previous
        self._previous = v
        return v


@torch.inference_mode()
def flow_edit(
    decoder: Decoder,
    source: Tensor,
    old: View,
    new: View,
    options: Sampling,
    edit: Edit,
    *,
    fresh: Callable[[], Tensor],
    check: Check = never,
) -> Generator[int, None, Tensor]:
    """Yields after each step how many are done; returns the latents [B, T, C].

    Args:
        decoder: the network.
        source: latents of the source [B, T, C].
        old: the source's own prompt.
        new: the prompt to arrive at.
        options: schedule (closed with 0), guidance, limits; the rest is not used here.
        edit: the edited share of the schedule.
        fresh: draws noise [B, T, C].
        check: called after each layer.
    """
    times, steps = options.schedule.times, options.schedule.steps
    first, last = int(steps * edit.n_min), int(steps * edit.n_max)
    before = _Branch(decoder, old, options, check)
    after = _Branch(decoder, new, options, check)
    z = source
    x: Tensor | None = None
    for i in range(first, steps):
        t, t_next = times[i], times[i + 1]
        if i < last:
            olds, news = [], []
            for _ in range(max(1, edit.n_avg)):
                noisy = (1 - t) * source + t * fresh()
                olds.append(before.velocity(noisy, t))
                news.append(after.velocity(z + noisy - source, t))
            z = z + (t_next - t) * (after.settled(news) - before.settled(olds))
        else:
            if x is None:
                x = z + ((1 - t) * source + t * fresh()) - source
            x = x + (t_next - t) * after.settled([after.velocity(x, t)])
        yield i + 1 - first
    return z if x is None else x
