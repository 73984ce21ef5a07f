"""The drum sounds: each hit in four variants, the kit tuned once per track."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lofi.backends.procedural.loudness import k_energy
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import SAMPLE_RATE, Settings
from lofi.backends.procedural.tones import Samples, band_noise, damped, smoothstep, soften

ENERGY_DB = {
    "kick": -15.3,
    "kick/soft": -15.8,
    "kick/house": -13.6,
    "snare": -19.3,
    "rim": -26.1,
    "clap": -16.7,
    "hat": -21.3,
    "pedal": -21.3,
    "open": -13.3,
    "shaker": -21.6,
    "brush": -21.3,
    "sweep": -15.7,
    "ride": -23.2,
    "perc": -23.3,
}
"""K-weighted energy of a hit before its level: every variant is brought to it."""

LEVELS = {
    "kick": 0.60,
    "kick/soft": 0.55,
    "kick/house": 0.60,
    "snare": 0.52,
    "rim": 0.46,
    "clap": 0.42,
    "hat": 0.24,
    "open": 0.18,
    "shaker": 0.22,
    "brush": 0.46,
    "sweep": 0.36,
    "ride": 0.60,
    "perc": 0.24,
    "pedal": 0.20,
}

_KICKS = {
    "kick": (165.0, 49.0, 0.017, 0.150),
    "kick/soft": (110.0, 50.0, 0.020, 0.140),
    "kick/house": (230.0, 51.0, 0.026, 0.200),
}
"""Start and end of the fall in Hz, its time constant, the decay (seconds)."""


class DrumKit:
    """The hits of one track; rendered when first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._seed = settings.seed
        self._kick = {"lofi": "kick", "rim": "kick", "house": "kick/house"}.get(
            settings.kit, "kick/soft"
        )
        self._tuning = 2.0 ** (Draws(settings.seed, "kit").between(-1.5, 1.5) / 12)
        self._hits: dict[tuple[str, int], Samples] = {}

    def named(self, instrument: str) -> str:
        """Returns which sound an instrument of the score has in this kit."""
        return self._kick if instrument == "kick" else instrument

    def get(self, instrument: str, variant: int) -> Samples:
        """Returns one hit, mono, at the level of a velocity of 1."""
        at = (instrument, variant)
        if at not in self._hits:
            name = self.named(instrument)
            draws = Draws(self._seed, f"hit/{name}/{variant}")
            hit = _hit(name, self._tuning * 2.0 ** (draws.between(-0.25, 0.25) / 12), draws)
            wanted = 10.0 ** (ENERGY_DB[name] / 10)
            self._hits[at] = hit * (LEVELS[name] * math.sqrt(wanted / k_energy(hit)))
        return self._hits[at]

    def energy(self, instrument: str) -> float:
        """Returns the K-weighted energy of a hit at velocity 1."""
        name = self.named(instrument)
        return float(LEVELS[name] ** 2 * 10.0 ** (ENERGY_DB[name] / 10))


def _hit(name: str, tuning: float, draws: Draws) -> Samples:
    if name in _KICKS:
        return _kick(name, tuning, draws)
    return _HITS[name](tuning, draws)


def _count(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def _fade(seconds: float, decay_sec: float) -> Samples:
    return np.asarray(np.exp(-np.arange(_count(seconds)) / (decay_sec * SAMPLE_RATE)))


def _noise(draws: Draws, low_hz: float, high_hz: float, seconds: float) -> Samples:
    return band_noise(f"hit/{draws.below(1 << 32)}", low_hz, high_hz, _count(seconds))


def _kick(name: str, tuning: float, draws: Draws) -> Samples:
    start, end, fall, decay = _KICKS[name]
    end *= 1 + 0.02 * (tuning - 1)  # the lowest tone stays where the bass leaves room
    seconds = 4.5 * decay
    t = np.arange(_count(seconds)) / SAMPLE_RATE
    phase = 2 * np.pi * (end * t + (start - end) * fall * (1 - np.exp(-t / fall)))
    x = 1.5 * np.sin(phase) * np.exp(-t / decay)
    x = x * (27 + x * x) / (27 + 9 * x * x)
    click = _count(0.012)
    level = draws.between(0.05, 0.25)
    x[:click] += level * _noise(draws, 300, 3200, 0.012) * _fade(0.012, 0.0023)
    return soften(x, 0.0008, 0.03)


def _snare(tuning: float, draws: Draws) -> Samples:
    count = _count(0.4)
    hz = 178 * tuning
    x = damped([hz, 1.78 * hz], [0.5, 0.28], [24, 34], count)
    x += 0.34 * _noise(draws, 900, 6800, 0.4) * _fade(0.4, 0.075)
    x += 0.16 * _noise(draws, 200, 1500, 0.4) * _fade(0.4, 0.030)
    return soften(x, 0.0008, 0.05)


def _rim(tuning: float, draws: Draws) -> Samples:
    hz = np.array([1720.0, 486.0, 2610.0]) * tuning
    x = damped(hz, [0.5, 0.35, 0.18], [95, 80, 150], _count(0.1))
    x += 0.4 * _noise(draws, 1200, 6000, 0.1) * _fade(0.1, 0.004)
    return soften(x, 0.0005, 0.02)


def _clap(tuning: float, draws: Draws) -> Samples:
    x = np.zeros(_count(0.32))
    for start, decay in ((0.0, 0.006), (0.0105, 0.006), (0.0215, 0.006), (0.031, 0.085)):
        at = _count(start)
        seconds = 0.28 if decay > 0.05 else 0.03
        burst = _noise(draws, 800, 4200, seconds) * _fade(seconds, decay)
        x[at : at + len(burst)] += soften(burst, 0.0006, 0.01)
    return soften(x, 0.0006, 0.04)


def _metal(tuning: float, draws: Draws, decay: float, count: int) -> Samples:
    hz = [low * tuning * draws.between(0.98, 1.02) for low in (4130, 5210, 6270, 7450, 8790)]
    return damped(hz, [0.12] * 5, [1 / decay] * 5, count, phase=1.0)


def _hat(tuning: float, draws: Draws) -> Samples:
    decay = draws.between(0.022, 0.028)
    x = _noise(draws, 4200, 10800, 0.16) * _fade(0.16, decay)
    x += _metal(tuning, draws, decay, len(x))
    return soften(x, 0.0008, 0.03)


def _open(tuning: float, draws: Draws) -> Samples:
    x = _noise(draws, 4200, 11500, 0.5) * _fade(0.5, 0.130)
    x += _metal(tuning, draws, 0.130, len(x))
    return soften(x, 0.0008, 0.1)


def _pedal(tuning: float, draws: Draws) -> Samples:
    x = _noise(draws, 3600, 9500, 0.12) * _fade(0.12, 0.016)
    return soften(x, 0.001, 0.03)


def _shaker(tuning: float, draws: Draws) -> Samples:
    rise, seconds = _count(0.028), 0.18
    envelope = np.exp(-np.maximum(0, np.arange(_count(seconds)) - rise) / (0.024 * SAMPLE_RATE))
    envelope[:rise] = smoothstep(np.arange(rise) / rise)
    return soften(_noise(draws, 3800, 9000, seconds) * envelope, 0.002, 0.03)


def _brush(tuning: float, draws: Draws) -> Samples:
    x = _noise(draws, 700, 6500, 0.2) * _fade(0.2, 0.030)
    return soften(x, 0.002, 0.04)


def _sweep(tuning: float, draws: Draws) -> Samples:
    count = _count(0.62)
    x = _noise(draws, 900, 5500, 0.62)
    swell = np.sin(np.pi * np.arange(count) / count) ** 2
    return np.asarray(
        x * swell * (0.75 + 0.25 * np.sin(2 * np.pi * 9 * np.arange(count) / SAMPLE_RATE))
    )


def _ride(tuning: float, draws: Draws) -> Samples:
    hz = np.array([2210, 2790, 3370, 4180, 4920, 5730, 6610, 7390]) * tuning
    levels = [0.09, 0.10, 0.11, 0.10, 0.09, 0.08, 0.06, 0.05]
    decays = [draws.between(3, 9) for _ in hz]
    count = _count(1.2)
    x = damped(hz, levels, decays, count, phase=0.7)
    x += damped([2950 * tuning], [0.55], [28], count)
    # The wash: partials alone ring like a wine glass.
    x += 0.10 * _noise(draws, 3000, 9500, 1.2) * _fade(1.2, 0.22)
    return soften(x, 0.0012, 0.3)


def _perc(tuning: float, draws: Draws) -> Samples:
    hz = draws.pick((232.0, 310.0, 415.0, 620.0)) * tuning
    x = damped([hz, 2.31 * hz], [0.8, 0.25], [26, 40], _count(0.25))
    return soften(x, 0.001, 0.05)


_HITS: dict[str, Callable[[float, Draws], Samples]] = {
    "snare": _snare,
    "rim": _rim,
    "clap": _clap,
    "hat": _hat,
    "open": _open,
    "pedal": _pedal,
    "shaker": _shaker,
    "brush": _brush,
    "sweep": _sweep,
    "ride": _ride,
    "perc": _perc,
}
