"""What surrounds the music: vinyl, rain, waves. Every sample is a function of its own time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from lofi.backends.procedural.randomness import Draws, fraction, hashed, key_of, white
from lofi.backends.procedural.settings import SAMPLE_RATE, Settings
from lofi.backends.procedural.tones import (
    BLOCK,
    Samples,
    band_weight,
    frequencies,
    sines,
    soften,
)

TABLE = 1 << 17
PATCH = 16384
"""Samples read from one place of a noise table before another place is taken."""
CROSSFADE = 512
CELL = 2400
"""Pops and drops are drawn per cell of 50 ms."""
GRAIN = 2048
"""Longest pop or drop, in samples."""

HISS = ("hiss", 0.35, 60.0, 9000.0)
RAIN = ("rain", 0.55, 350.0, 9500.0)
SEA = ("sea", 0.7, 120.0, 5000.0)
"""Label, slope and band of the noise tables."""


@lru_cache(maxsize=4)
def noise_table(label: str, slope: float, low_hz: float, high_hz: float) -> Samples:
    """Returns [2, TABLE] noise of amplitude f^-slope between two frequencies, of unit RMS."""
    hz = frequencies(TABLE)
    shape = band_weight(hz, low_hz, high_hz) * np.maximum(hz, 1.0) ** -slope
    channels = []
    for side in ("left", "right"):
        spectrum = np.fft.rfft(white(key_of(0, f"{label}/{side}"), 0, TABLE)) * shape
        noise = np.fft.irfft(spectrum, TABLE)
        channels.append(noise / math.sqrt(float(np.mean(noise * noise))))
    return np.stack(channels)


@dataclass(frozen=True, slots=True)
class _Grain:
    """A pop or a drop."""

    at: int
    """Its first sample."""
    hz: float
    level: float
    decay: float
    """In 1/s."""
    pan: float


class Patchwork:
    """Endless noise from a table: a hashed place each patch, cross-faded."""

    def __init__(self, seed: int, label: str, table: Samples) -> None:
        self._key = key_of(seed, label)
        self._table = table
        angle = 0.5 * np.pi * (np.arange(CROSSFADE) + 0.5) / CROSSFADE
        self._rise, self._fall = np.sin(angle), np.cos(angle)

    def read(self, start: int, count: int) -> Samples:
        """Returns samples start..start+count-1, [2, count]."""
        out = np.empty((2, count))
        done = 0
        while done < count:
            patch, offset = divmod(start + done, PATCH)
            size = min(count - done, PATCH - offset)
            out[:, done : done + size] = self._patch(patch)[:, offset : offset + size]
            done += size
        return out

    def _patch(self, patch: int) -> Samples:
        room = TABLE - PATCH - CROSSFADE
        here = (hashed(self._key, patch) * room) >> 64
        before = (hashed(self._key, patch - 1) * room) >> 64
        piece = self._table[:, here : here + PATCH].copy()
        tail = self._table[:, before + PATCH : before + PATCH + CROSSFADE]
        piece[:, :CROSSFADE] = piece[:, :CROSSFADE] * self._rise + tail * self._fall
        return piece


class Ambience:
    """The noises of one track. `period` is the loop's length, or None."""

    def __init__(self, settings: Settings, period: int | None) -> None:
        self._settings = settings
        self._period = period
        self._rates = [_whole(rate, period) for rate in (0.061, 0.113, 1 / 14)]
        seed = settings.seed
        self._hiss = self._rain = self._sea = None
        if settings.noise > 0:
            self._hiss = Patchwork(seed, "hiss", noise_table(*HISS))
        if settings.rain > 0:
            self._rain = Patchwork(seed, "rain", noise_table(*RAIN))
        if settings.waves > 0:
            self._sea = Patchwork(seed, "sea", noise_table(*SEA))

    def add(self, out: Samples, start: int) -> None:
        """Adds the ambience of samples start.. to `out` [2, count], in place."""
        count = out.shape[1]
        if self._period is None:
            self._add(out, start)
            return
        done = 0
        while done < count:  # time runs in a circle
            at = (start + done) % self._period
            size = min(count - done, self._period - at)
            self._add(out[:, done : done + size], at)
            done += size

    def _add(self, out: Samples, start: int) -> None:
        settings, count = self._settings, out.shape[1]
        if self._hiss is not None:
            out += 0.011 * settings.noise * self._hiss.read(start, count)
            self._grains(out, start, "pop", 5 * settings.noise)
        if self._rain is not None:
            waves = ((self._rates[0], 0.12, 0.0), (self._rates[1], 0.08, 1.3))
            level = 0.020 * settings.rain * (0.75 + sines(waves, start, count))
            out += level * self._rain.read(start, count)
            self._grains(out, start, "drop", 28 * settings.rain)
        if self._sea is not None:
            wave = sines([(self._rates[2], 0.5, 0.6 + np.pi / 2)], start, count)
            out += 0.14 * settings.waves * (0.5 - wave) ** 2 * self._sea.read(start, count)

    def _grains(self, out: Samples, start: int, kind: str, per_sec: float) -> None:
        """Adds the pops or drops whose sound touches samples start.. of `out`."""
        count = out.shape[1]
        key = key_of(self._settings.seed, kind)
        chance = per_sec * CELL / SAMPLE_RATE / 2
        first, last = (start - GRAIN) // CELL, (start + count - 1) // CELL
        found: list[_Grain] = []
        for cell in range(first, last + 1):
            for half in (0, 1):
                if fraction(hashed(key, 2 * cell + half)) >= chance:
                    continue
                draws = Draws(self._settings.seed, f"{kind}/{cell}/{half}")
                at = cell * CELL + draws.below(CELL)
                if self._period is not None and at >= self._period - GRAIN:
                    continue  # none is cut in two where the loop closes
                if 0 <= at < start + count:
                    found.append(self._grain(kind, draws, at))
        if not found:
            return
        for grain, sound in zip(found, _rung(found), strict=True):
            low, high = max(grain.at, start), min(grain.at + len(sound), start + count)
            if low < high:
                piece = sound[low - grain.at : high - grain.at]
                out[0, low - start : high - start] += math.sqrt(0.5 * (1 - grain.pan)) * piece
                out[1, low - start : high - start] += math.sqrt(0.5 * (1 + grain.pan)) * piece

    def _grain(self, kind: str, draws: Draws, at: int) -> _Grain:
        if kind == "pop":
            hz, u = draws.between(900, 4200), draws.unit()
            level, decay = 0.016 + 0.10 * self._settings.noise * u**4, draws.between(500, 1500)
        else:
            hz, u = draws.between(1100, 5200), draws.unit()
            level, decay = 0.003 + 0.03 * u**3, draws.between(180, 600)
        return _Grain(at, hz, level, decay, draws.between(-0.8, 0.8))


def _rung(grains: Sequence[_Grain]) -> list[Samples]:
    """Returns the sound of each grain: a damped sine, all of them at once as in `damped`."""
    turn = np.array([complex(-grain.decay, 2 * np.pi * grain.hz) for grain in grains])[:, None]
    coarse = np.exp(turn * (BLOCK / SAMPLE_RATE) * np.arange(GRAIN // BLOCK))
    coarse *= np.array([[grain.level] for grain in grains])
    fine = np.exp(turn * (np.arange(BLOCK) / SAMPLE_RATE))
    rung = (coarse[:, :, None] * fine[:, None, :]).imag.reshape(len(grains), GRAIN)
    return [
        soften(sound[: min(GRAIN, round(6 / grain.decay * SAMPLE_RATE))], 0.0002, 0.001)
        for grain, sound in zip(grains, rung, strict=True)
    ]


def _whole(rate_hz: float, period: int | None) -> float:
    """Returns the rate nearest to `rate_hz` that fits a loop a whole number of times."""
    if period is None:
        return rate_hz
    seconds = period / SAMPLE_RATE
    return max(1, round(rate_hz * seconds)) / seconds
