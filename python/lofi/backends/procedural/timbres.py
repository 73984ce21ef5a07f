"""The pitched instruments: one note of each, rendered once and cached.

Real synthesis, no sample files. A note is a pure function of (instrument, pitch, layer, length),
so it matters not to the sound what is in the cache.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lofi.backends.procedural.settings import SAMPLE_RATE
from lofi.backends.procedural.strings import plucked
from lofi.backends.procedural.tones import (
    Samples,
    band_noise,
    damped,
    harmonics,
    pitch_hz,
    ramp_in,
    soften,
    vibrato_phase,
)

LAYERS = (0.35, 0.6, 0.85)
LAYER_BORDERS = (0.48, 0.72)
CACHE_BYTES = 96 * 2**20

LEVELS: dict[str, float] = {
    "sub": 0.9900,
    "upright": 0.9542,
    "synthbass": 1.2334,
    "ep": 0.4842,
    "piano": 0.7620,
    "guitar": 0.6973,
    "stab": 1.4918,
    "pad": 0.5444,
    "strings": 0.4368,
    "organ": 0.3724,
    "vibes": 0.7770,
    "bell": 1.0120,
    "lead": 0.5014,
    "flute": 0.5844,
    "reed": 0.4900,
    "swell": 0.8000,
}
"""Gains that bring a note at velocity 0.7 to -12 dB: the K-weighted mean square of its first
second, averaged over the instrument's range."""

LONGEST_SEC = {
    "ep": 4.0,
    "piano": 4.5,
    "guitar": 3.0,
    "vibes": 4.0,
    "bell": 2.5,
    "sub": 3.0,
    "upright": 2.5,
    "synthbass": 1.6,
    "stab": 1.2,
    "lead": 3.0,
    "flute": 3.0,
    "reed": 3.0,
    "swell": 2.5,
}
SUSTAINED_SEC = (0.5, 1.0, 2.0, 3.0)
DECAYING_SEC = (1.0, 2.0)
SUSTAINED = ("lead", "flute", "reed")
LOOPED = ("pad", "strings", "organ")
LOOP_ATTACK_SEC = {"pad": 0.55, "strings": 0.55, "organ": 0.02}
LOOP_SEC = 4


@dataclass(frozen=True, slots=True)
class Tone:
    """A rendered note: [channels, frames]; looped ones go round for as long as they are held."""

    samples: Samples
    looped: bool = False
    attack_sec: float = 0.0


def layer_of(instrument: str, velocity: float) -> float:
    """Returns the velocity at which the note for `velocity` is rendered."""
    if instrument in LOOPED:
        return 1.0
    return LAYERS[sum(velocity > border for border in LAYER_BORDERS)]


def gain_of(instrument: str, velocity: float, touch: float = 0.0) -> float:
    """Returns how loud a note's layer is played for `velocity`.

    `touch` is how much harder it is struck than it is loud: brighter, not louder.
    """
    if instrument in LOOPED:
        return velocity
    return float((velocity / layer_of(instrument, velocity + touch)) ** 0.8)


def length_class(instrument: str, seconds: float) -> float:
    """Returns how long a note is rendered so that `seconds` of it can be heard."""
    if instrument in LOOPED:
        return float(LOOP_SEC)
    if instrument == "swell":  # it must be over when the bar is: no longer, no shorter
        return min(LONGEST_SEC[instrument], round(seconds, 2))
    steps = SUSTAINED_SEC if instrument in SUSTAINED else DECAYING_SEC
    longest = LONGEST_SEC[instrument]
    return next((step for step in steps if seconds <= step < longest), longest)


class Tones:
    """All notes of one track, rendered when first asked for; the oldest go when it is full."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._kept: OrderedDict[tuple[str, int, float, float], Tone] = OrderedDict()

    def get(self, instrument: str, midi: int, velocity: float, seconds: float) -> Tone:
        """Returns a note at least `seconds` long, or as long as it sounds."""
        at = (
            instrument,
            midi,
            layer_of(instrument, velocity),
            length_class(instrument, seconds),
        )
        tone = self._kept.get(at)
        if tone is not None:
            self._kept.move_to_end(at)
            return tone
        tone = render(*at)
        self._kept[at] = tone
        self._held_bytes += tone.samples.nbytes
        while self._held_bytes > self._limit_bytes and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._held_bytes -= dropped.samples.nbytes
        return tone


def render(instrument: str, midi: int, velocity: float, seconds: float) -> Tone:
    """Returns one note of `instrument`; see `LONGEST_SEC` and `LOOPED` for the names."""
    level = LEVELS[instrument]
    if instrument in LOOPED:
        samples = _loop(instrument, pitch_hz(midi)) * level
        return Tone(samples, looped=True, attack_sec=LOOP_ATTACK_SEC[instrument])
    count = round(seconds * SAMPLE_RATE)
    mono = INSTRUMENTS[instrument](midi, velocity, count) * level
    return Tone(mono[None, :])


def _ep(midi: int, v: float, count: int) -> Samples:
    """Electric piano: a struck tine before a pickup that bends the loud notes."""
    hz, d = pitch_hz(midi), 0.75 * 2.0 ** ((midi - 60) / 20)
    ratios = np.array([1.0, 6.27, 1.0003, 2.0, 3.0])
    levels = np.array([1.0, 0.10 * v, 0.25, 0.16, 0.07 * v]) * (0.45 + 0.55 * v)
    decays = np.array([d, 9 + 6 * v, 3.2 * d, 2.2 * d, 3.5 * d])
    x = damped(hz * ratios, levels, decays, count)
    # The square lifts the mean by half of each partial's power; take it away again.
    lift = damped(np.zeros(5), 0.5 * levels * levels, 2 * decays, count, phase=np.pi / 2)
    bark = 0.2 + 0.4 * v  # a hard stroke swings the tine closer to the pickup
    # x + bark (x^2 - lift) + 0.16 x^3, in place: a long note leaves the processor's cache.
    y = 0.16 * x
    y += bark
    y *= x
    y += 1.0
    y *= x
    lift *= bark
    y -= lift
    return soften(y, 0.002, min(0.4, count / SAMPLE_RATE / 4))


def _piano(midi: int, v: float, count: int) -> Samples:
    hz, stretch = pitch_hz(midi), 2.2e-4 * 2.0 ** ((midi - 60) / 9)
    k = np.arange(1, 19, dtype=np.float64)
    partials = k * hz * np.sqrt(1 + stretch * k * k)
    k, partials = k[partials < 6500], partials[partials < 6500]
    levels = (
        np.exp(-(partials - hz) / (520 + 1500 * v * v))
        * (0.35 + 0.65 * np.abs(np.sin(0.12 * np.pi * k)))
        / k**0.35
    )
    levels = levels / math.sqrt(float(np.sum(levels * levels)))
    d = 0.55 * 2.0 ** ((midi - 60) / 15) * (1 + 0.22 * (k - 1))
    tone = damped(
        np.concatenate([partials, partials * 1.0004]),
        np.concatenate([0.7 * levels, 0.3 * levels]) * (0.4 + 0.6 * v),
        np.concatenate([3 * d, 0.75 * d]),
        count,
    )
    _strike(tone, f"hammer/{midi}", 60, 420, 0.007, 0.06 * (0.5 + v))
    return soften(tone, 0.0015, min(0.5, count / SAMPLE_RATE / 4))


def _strike(
    tone: Samples, label: str, low_hz: float, high_hz: float, decay_sec: float, level: float
) -> None:
    """Adds a short burst of noise to the start of `tone`."""
    count = min(len(tone), round(8 * decay_sec * SAMPLE_RATE))
    fade = np.exp(-np.arange(count) / (decay_sec * SAMPLE_RATE))
    tone[:count] += level * fade * band_noise(label, low_hz, high_hz, count)


def _guitar(midi: int, v: float, count: int) -> Samples:
    tone = plucked(midi, v, count) * (0.4 + 0.6 * v)
    return soften(tone, 0.0012, min(0.3, count / SAMPLE_RATE / 4))


def _vibes(midi: int, v: float, count: int) -> Samples:
    hz = pitch_hz(midi)
    tone = damped(
        [hz, 3.98 * hz, 10.1 * hz], [v, 0.22 * v * v, 0.05 * v * v], [0.9, 3.5, 22], count
    )
    return soften(tone, 0.002, min(0.5, count / SAMPLE_RATE / 4))


def _bell(midi: int, v: float, count: int) -> Samples:
    hz = pitch_hz(midi)
    tone = damped(
        [hz, 2.76 * hz, 5.4 * hz], [v, 0.28 * v * v, 0.10 * v * v], [2.0, 7.0, 16.0], count
    )
    return soften(tone, 0.0015, min(0.4, count / SAMPLE_RATE / 4))


def _breathing(tone: Samples, attack_sec: float) -> Samples:
    """Gives a blown or bowed tone its rise and a slow fall."""
    tone *= ramp_in(len(tone), attack_sec)
    tone *= np.exp(-0.25 * np.arange(len(tone)) / SAMPLE_RATE)
    return soften(tone, 0.001, 0.06)


def _lead(midi: int, v: float, count: int) -> Samples:
    phase = vibrato_phase(pitch_hz(midi), count, 14, 5.1)
    x = np.sin(phase)
    y = x + 0.66 * x * (1 - x * x) + 0.10 * np.sin(2 * phase)
    return _breathing(v * y, 0.025)


def _flute(midi: int, v: float, count: int) -> Samples:
    hz = pitch_hz(midi)
    tone = harmonics(vibrato_phase(hz, count, 10, 4.7), (1.0, 0.22 * v, 0.05))
    tone += 0.05 * band_noise(f"breath/{midi}", 0.9 * hz, 3.2 * hz, count)
    return _breathing(v * tone, 0.055)


def _reed(midi: int, v: float, count: int) -> Samples:
    hz = pitch_hz(midi)
    levels = [0.62**k * (0.7 if k % 2 == 1 else 1.0) for k in range(9) if (k + 1) * hz < 6500]
    tone = harmonics(vibrato_phase(hz, count, 16, 4.9), levels)
    tone += 0.02 * band_noise(f"reed/{midi}", 0.9 * hz, 3.2 * hz, count)
    return _breathing(v * tone, 0.030)


def _sub(midi: int, v: float, count: int) -> Samples:
    hz = pitch_hz(midi)
    under = 0.30 * v if hz > 56 else 0.0  # the higher notes keep some floor below them
    tone = damped(
        [hz, 2 * hz, 3 * hz, hz / 2], [v, 0.3 * v, 0.1 * v, under], [0.9, 2.2, 4.0, 0.9], count
    )
    return soften(tone, 0.004, min(0.3, count / SAMPLE_RATE / 4))


def _upright(midi: int, v: float, count: int) -> Samples:
    k = np.arange(1, 9, dtype=np.float64)
    partials = k * pitch_hz(midi) * np.sqrt(1 + 1e-4 * k * k)
    levels = np.array([1.0, 0.75, 0.42, 0.25, 0.14, 0.08, 0.05, 0.03]) * v
    tone = damped(partials, levels, 1.6 + 0.9 * (k - 1), count)
    _strike(tone, f"finger/{midi}", 80, 900, 0.012, 0.22 * v)
    return soften(tone, 0.003, min(0.3, count / SAMPLE_RATE / 4))


def _synthbass(midi: int, v: float, count: int) -> Samples:
    k = np.arange(1, 10, dtype=np.float64)
    tone = damped(k * pitch_hz(midi), v / k, 2 + 2.6 * (k - 1), count)
    return soften(tone, 0.003, 0.2)


def _stab(midi: int, v: float, count: int) -> Samples:
    k = np.arange(1, 11, dtype=np.float64)
    hz = k * pitch_hz(midi)
    tone = damped(
        np.concatenate([hz * 1.0015, hz * 0.9985]),
        np.concatenate([v / k, v / k]) * 0.5,
        np.concatenate([3 + 1.4 * k, 3 + 1.4 * k]),
        count,
    )
    return soften(tone, 0.002, 0.2)


def _swell(midi: int, v: float, count: int) -> Samples:
    """A struck chord tone played backwards: it grows, brightens, and is gone."""
    hz = pitch_hz(midi)
    partials = np.array([1.0, 1.0005, 2.0, 3.0, 4.0])
    levels = np.array([0.8, 0.6, 0.3, 0.16, 0.08]) * v
    struck = damped(hz * partials, levels, [2.2, 2.0, 3.0, 4.5, 6.0], count)
    return soften(np.ascontiguousarray(struck[::-1]), 0.25, 0.02)


INSTRUMENTS: dict[str, Callable[[int, float, int], Samples]] = {
    "ep": _ep,
    "piano": _piano,
    "guitar": _guitar,
    "vibes": _vibes,
    "bell": _bell,
    "lead": _lead,
    "flute": _flute,
    "reed": _reed,
    "sub": _sub,
    "upright": _upright,
    "synthbass": _synthbass,
    "stab": _stab,
    "swell": _swell,
}

_LOOPS: dict[str, tuple[tuple[float, ...], tuple[float, ...], float]] = {
    "pad": ((1, 0.38, 0.16, 0.08, 0.04, 0.02), (-7, 0, 6), 1.0),
    "strings": (
        (1, 0.6, 0.42, 0.3, 0.22, 0.16, 0.12, 0.09, 0.07, 0.05),
        (-9, 0, 8),
        1.0,
    ),
    "organ": ((0.5, 1, 0.55, 0.35, 0, 0.12, 0, 0.10), (-3, 3), 0.5),
}
"""Amplitudes of the harmonics, detuning in cents of the copies, octave factor."""


def _loop(instrument: str, hz: float) -> Samples:
    """Returns a seamless stereo loop [2, 4 s]: every partial is a multiple of 1/4 Hz.

    Left and right differ in phase only, so that the mono sum keeps every partial.
    """
    amplitudes, cents, octave = _LOOPS[instrument]
    size = LOOP_SEC * SAMPLE_RATE
    spectrum = np.zeros((2, size // 2 + 1), dtype=np.complex128)
    for copy, detune in enumerate(cents):
        for k, amplitude in enumerate(amplitudes, start=1):
            partial = k * hz * octave * 2.0 ** (detune / 1200)
            if partial > 7000 or amplitude == 0:
                continue
            line = round(partial * LOOP_SEC)
            phase = 2 * np.pi * (0.61803398875 * (7 * k + 3 * copy) % 1.0)
            spread = 0.9 * math.sin(1.7 * k + 2.3 * copy)
            for channel, side in enumerate((-1.0, 1.0)):
                turn = phase + side * spread
                spectrum[channel, line] += amplitude * complex(math.cos(turn), math.sin(turn))
    return np.asarray(np.fft.irfft(spectrum, size) * (size / 2) / len(cents))
