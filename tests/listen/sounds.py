"""Plain sounds whose properties are known by construction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lofi.listen.sound import Sound

RATE = 48000


def sine(hz: float, seconds: float, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(round(seconds * RATE)) * level


def stereo(left: np.ndarray, right: np.ndarray | None = None) -> Sound:
    return Sound(np.stack([left, left if right is None else right]), RATE)


def clicks(bpm: float, seconds: float, level: float = 0.5) -> np.ndarray:
    x = np.zeros(round(seconds * RATE))
    burst = noise(0.02, level, seed=3) * np.linspace(1, 0, round(0.02 * RATE))
    for beat in range(int(seconds * bpm / 60)):
        at = round(beat * 60 / bpm * RATE)
        piece = burst[: len(x) - at]
        x[at : at + len(piece)] += piece
    return x


def scale(pitches: Sequence[float], seconds_each: float) -> np.ndarray:
    fade = np.minimum(1, np.linspace(20, 0, round(seconds_each * RATE)))
    notes = [
        sine(440 * 2 ** ((midi - 69) / 12), seconds_each, 0.3) * fade
        + sine(880 * 2 ** ((midi - 69) / 12), seconds_each, 0.1) * fade
        for midi in pitches
    ]
    return np.concatenate(notes)
