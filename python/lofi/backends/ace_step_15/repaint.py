"""Keeping what lies outside a repainted window: while sampling, at its borders, in the waveform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

RepaintMode = Literal["conservative", "balanced", "aggressive"]
CROSSFADE_FRAMES = 25
CROSSFADE_SEC = 0.05


@dataclass(frozen=True, slots=True)
class RepaintStrength:
    """How firmly the outside is held."""

    injection_ratio: float
    """Share of the steps after which the outside is put back."""
    crossfade_frames: int
    crossfade_sec: float


def repaint_strength(mode: RepaintMode, strength: float) -> RepaintStrength:
    """`strength` 0 keeps the most, 1 repaints freely; only `balanced` reads it."""
    if mode == "aggressive":
        return RepaintStrength(0.0, 0, 0.0)
    if mode == "conservative":
        return RepaintStrength(1.0, CROSSFADE_FRAMES, CROSSFADE_SEC)
    held = 1 - min(max(strength, 0.0), 1.0)
    return RepaintStrength(held, round(CROSSFADE_FRAMES * held), CROSSFADE_SEC * held)


@dataclass(frozen=True, slots=True)
class Repaint:
    """What the sampler needs to hold the outside."""

    mask: Tensor
    """[B, T], True where new music goes."""
    clean: Tensor
    """Source latents [B, T, C] as they were."""
    injection_ratio: float
    crossfade_frames: int


def injected(x: Tensor, repaint: Repaint, noise: Tensor, t: float) -> Tensor:
    """x with the outside replaced by the source at noise level t."""
    outside = t * noise + (1 - t) * repaint.clean
    return torch.where(repaint.mask[..., None], x, outside)


def _ramp(count: int, device: torch.device) -> Tensor:
    return torch.linspace(0, 1, count + 2, device=device)[1:-1]


def soft_mask(mask: Tensor, crossfade: int) -> Tensor:
    """mask [B, T] -> weights [B, T]: 1 inside, ramps of up to `crossfade` frames outside."""
    weights = mask.float()
    for row, inside in zip(weights, mask, strict=True):
        for start, stop in runs(inside):
            _feather(row, start, stop, crossfade)
    return weights


def runs(inside: Tensor) -> list[tuple[int, int]]:
    """The first and last + 1 index of each run of True in `inside` [T]."""
    edges = torch.diff(inside.to(torch.int8).cpu(), prepend=torch.zeros(1, dtype=torch.int8))
    edges = torch.cat((edges, -inside[-1:].to(torch.int8).cpu()))
    starts, stops = (edges == 1).nonzero().flatten(), (edges == -1).nonzero().flatten()
    return [(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def _feather(row: Tensor, start: int, stop: int, crossfade: int) -> None:
    """Ramps up to `start` and down from `stop`, in place, cut short at the ends.

    Args:
        row: weights [T]; what is already above a ramp stays.
    """
    left, right = min(crossfade, start), min(crossfade, row.shape[0] - stop)
    if left > 0:
        rise = _ramp(left, row.device)
        row[start - left : start] = torch.maximum(row[start - left : start], rise)
    if right > 0:
        fall = _ramp(right, row.device).flip(0)
        row[stop : stop + right] = torch.maximum(row[stop : stop + right], fall)


def blended(x: Tensor, repaint: Repaint) -> Tensor:
    """x [B, T, C] crossfaded into the clean source at the window's borders."""
    if repaint.crossfade_frames <= 0 or bool(repaint.mask.all()):
        return x
    weights = soft_mask(repaint.mask, repaint.crossfade_frames)[..., None]
    return weights * x + (1 - weights) * repaint.clean


def spliced(
    audio: Tensor,
    source: Tensor,
    windows: Sequence[tuple[float, float]],
    *,
    crossfade_sec: float,
    sample_rate: int,
) -> Tensor:
    """The source's own waveform outside the windows, with ramps outside of them.

    Args:
        audio: rendered [channels, samples].
        source: original [channels, samples], shorter or longer.
        windows: start and end of each, in seconds.

    Returns:
        [channels, samples] as long as `audio`.
    """
    length = min(audio.shape[1], source.shape[1])
    weights = torch.zeros(length, device=audio.device)
    crossfade = int(crossfade_sec * sample_rate)
    for start_sec, end_sec in windows:
        start = min(max(0, int(start_sec * sample_rate)), length)
        stop = min(int(end_sec * sample_rate), length)
        weights[start:stop] = 1
        _feather(weights, start, stop, crossfade)
    if bool((weights == 1).all()):
        return audio
    out = audio.clone()
    out[:, :length] = weights * audio[:, :length] + (1 - weights) * source[:, :length].to(audio)
    return out
