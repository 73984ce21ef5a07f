"""Gain, saturation, limiter, fades, and the last rounding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lofi.backends.procedural.settings import SAMPLE_RATE, Settings
from lofi.backends.procedural.tones import Samples

HOP = 64
AHEAD = 8
CEILING = 10 ** (-1.5 / 20)
RELEASE = 1.01
FADE_IN_SEC = 0.010
LOOK = AHEAD * HOP
"""Samples by which the limiter's output lags behind its input."""
LATENCY = LOOK + 1
"""Samples by which the master's output lags behind its input."""


def saturated(x: Samples, amount: float) -> Samples:
    """Returns `x` bent like a tape bends it; small signals keep their size."""
    drive = 1 + 0.9 * amount
    y = np.clip(drive * x, -3.0, 3.0)
    square = y * y
    return np.asarray(y * (27 + square) / (27 + 9 * square) / drive)


class Saturator:
    """Bends like a tape, and like a tape it keeps the highest of what that adds to itself.

    A snare's third harmonic would be heard as a click.
    """

    def __init__(self, amount: float) -> None:
        self._amount = amount
        self._late = np.zeros((2, 2))

    def process(self, x: Samples) -> Samples:
        """x [2, n] -> [2, n], one sample late."""
        line = np.concatenate([self._late, x], axis=1)
        self._late = line[:, -2:]
        added = saturated(line, self._amount) - line
        dull = 0.25 * (added[:, :-2] + added[:, 2:]) + 0.5 * added[:, 1:-1]
        return np.asarray(line[:, 1:-1] + dull)


class Limiter:
    """Keeps peaks below the ceiling; looks `AHEAD` hops ahead, lets go slowly."""

    def __init__(self) -> None:
        self._late = np.zeros((2, LOOK))
        self._needs: list[float] = [1.0] * AHEAD
        self._gain = 1.0
        self._recent: list[float] = [1.0] * AHEAD
        self._before = 1.0

    def process(self, x: Samples) -> Samples:
        """x [2, n], n a multiple of `HOP` -> [2, n], `LOOK` late."""
        hops = x.shape[1] // HOP
        peaks = np.max(np.abs(x), axis=0).reshape(hops, HOP).max(axis=1)
        needs = self._needs + np.minimum(1.0, CEILING / np.maximum(peaks, CEILING)).tolist()
        line = np.concatenate([self._late, x], axis=1)
        self._late = line[:, x.shape[1] :]
        self._needs = needs[hops:]
        if min(needs) == 1.0 and self._before == 1.0 and self._gain == 1.0:
            return line[:, : x.shape[1]]
        points = np.empty(hops + 1)
        points[0] = self._before
        recent = self._recent
        for hop in range(hops):
            wanted = min(needs[hop : hop + AHEAD + 1])
            self._gain = min(wanted, self._gain * RELEASE)
            recent = [*recent[1:], self._gain]
            points[hop + 1] = sum(recent) / AHEAD
        self._recent = recent
        self._before = float(points[-1])
        if min(recent) == 1.0:
            self._before = 1.0
        part = np.arange(HOP) / HOP
        gain = (points[:-1, None] + (points[1:] - points[:-1])[:, None] * part).reshape(-1)
        return np.asarray(line[:, : x.shape[1]] * gain)


class Master:
    """From the mixer's quanta to finished ones; `frames` is the track's length."""

    def __init__(self, settings: Settings, frames: int, music_end: int) -> None:
        self._settings = settings
        self._frames = frames
        self._saturator = Saturator(settings.saturation)
        self._limiter = Limiter()
        self._fade = self._fades(music_end)

    def process(self, x: Samples, gain_before: float, gain_after: float) -> Samples:
        """Returns `x` at a gain that glides over the quantum, saturated and limited."""
        if gain_before == gain_after:
            louder = x * gain_before
        else:
            louder = x * np.linspace(gain_before, gain_after, x.shape[1], endpoint=False)
        return self._limiter.process(self._saturator.process(louder))

    def _fades(self, music_end: int) -> list[tuple[int, int, bool]]:
        """Returns (first sample, length, rising) of each fade."""
        settings, fades = self._settings, []
        if not settings.loopable:
            fades.append((0, round(FADE_IN_SEC * SAMPLE_RATE), True))
            ring_sec = max(0.0, (self._frames - music_end) / SAMPLE_RATE)
            seconds = min(3.0, max(0.8, 0.6 * ring_sec), self._frames / SAMPLE_RATE)
            count = round(seconds * SAMPLE_RATE)
            fades.append((self._frames - count, count, False))
        for seconds, rising in ((settings.fade_in_sec, True), (settings.fade_out_sec, False)):
            count = min(self._frames, round(seconds * SAMPLE_RATE))
            if count > 0:
                fades.append((0 if rising else self._frames - count, count, rising))
        return fades

    def finish(self, x: Samples, start: int) -> NDArray[np.float32]:
        """Returns [n, 2] float32 on the 16-bit grid of x [2, n], whose first sample is `start`."""
        end = start + x.shape[1]
        for first, count, rising in self._fade:
            if start < first + count and end > first:
                u = np.clip((np.arange(start, end) - first + 0.5) / count, 0.0, 1.0)
                angle = 0.5 * np.pi * (u if rising else 1 - u)
                x = x * np.sin(angle) ** 2
        steps = np.clip(np.rint(x.T * 32768.0), -32768, 32767) + 0.0  # no -0.0
        return np.ascontiguousarray(steps.astype(np.float32) / np.float32(32768.0))
