"""The arithmetic of timbres: sums of damped sines, noise bands, envelopes, vibrato."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lofi.backends.procedural.randomness import key_of, white
from lofi.backends.procedural.settings import SAMPLE_RATE

Samples = NDArray[np.float64]
BLOCK = 256
HIGHEST_HZ = 9500.0
"""No pitched partial lies above, so nothing aliases."""


def pitch_hz(midi: float) -> float:
    """Returns the frequency of a MIDI number, A4 = 440 Hz."""
    return 440.0 * 2.0 ** ((midi - 69.0) / 12.0)


def damped(
    hz: Sequence[float] | Samples,
    amplitude: Sequence[float] | Samples,
    decay: Sequence[float] | Samples,
    count: int,
    phase: float = 0.0,
) -> Samples:
    """Returns sum of a * exp(-d t) * sin(2 pi f t + phase), `count` samples; d in 1/s.

    One small matrix product: t = 256 m + j is expanded by the angle-sum formula, so that only
    `count / 256 + 256` sines are taken of each partial.
    """
    f, a, d = (np.asarray(values, dtype=np.float64) for values in (hz, amplitude, decay))
    keep = f < HIGHEST_HZ
    f, a, d = f[keep], a[keep], d[keep]
    omega, rate = 2 * np.pi * f / SAMPLE_RATE, d / SAMPLE_RATE
    coarse = BLOCK * np.arange(-(-count // BLOCK), dtype=np.float64)[:, None]
    fine = np.arange(BLOCK, dtype=np.float64)[None, :]
    level = a * np.exp(-rate * coarse)
    angle = omega * coarse + phase
    left = np.hstack([level * np.sin(angle), level * np.cos(angle)])
    fade = np.exp(-rate[:, None] * fine)
    turn = omega[:, None] * fine
    right = np.vstack([fade * np.cos(turn), fade * np.sin(turn)])
    return np.asarray((left @ right).reshape(-1)[:count])


def sines(waves: Sequence[tuple[float, float, float]], start: int, count: int) -> Samples:
    """Returns sum of depth * sin(2 pi rate t + phase) of (rate in Hz, depth, phase).

    t runs over samples start..start+count-1. Expanded as in `damped`.
    """
    rates, depths, phases = np.array(waves, dtype=np.float64).T
    omega = (2 * np.pi / SAMPLE_RATE) * rates
    coarse = start + BLOCK * np.arange(-(-count // BLOCK), dtype=np.float64)[:, None]
    angle = omega * coarse + phases
    turn = omega[:, None] * np.arange(BLOCK, dtype=np.float64)
    left = np.hstack([depths * np.sin(angle), depths * np.cos(angle)])
    return np.asarray((left @ np.vstack([np.cos(turn), np.sin(turn)])).reshape(-1)[:count])


def falling(rate: float, count: int) -> Samples:
    """Returns exp(-rate t), t in seconds; an outer product, as in `damped`."""
    per_sample = rate / SAMPLE_RATE
    coarse = np.exp(-per_sample * BLOCK * np.arange(-(-count // BLOCK), dtype=np.float64))
    fine = np.exp(-per_sample * np.arange(BLOCK, dtype=np.float64))
    return np.asarray(np.outer(coarse, fine).reshape(-1)[:count])


def smoothstep(x: Samples) -> Samples:
    """Returns 3x^2 - 2x^3 of x held in 0..1."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))


def ramp_in(count: int, seconds: float) -> Samples:
    """Returns a rise from 0 to 1 over `seconds`, then 1."""
    return smoothstep(np.arange(count) / (seconds * SAMPLE_RATE))


def soften(x: Samples, attack_sec: float, release_sec: float) -> Samples:
    """Starts and ends `x` without a step; in place, and returned."""
    rise = min(len(x), round(attack_sec * SAMPLE_RATE))
    fall = min(len(x), round(release_sec * SAMPLE_RATE))
    x[:rise] *= smoothstep(np.arange(rise) / max(1, rise))
    x[len(x) - fall :] *= smoothstep(np.arange(fall, 0, -1) / max(1, fall) - 1.0 / max(1, fall))
    return x


def band_noise(label: str, low_hz: float, high_hz: float, count: int) -> Samples:
    """Returns `count` samples of hash noise between two frequencies, of unit RMS.

    The edges are smoothsteps over a quarter octave to either side.
    """
    size = 1 << max(8, (count - 1).bit_length())
    spectrum = np.fft.rfft(white(key_of(0, label), 0, size))
    spectrum *= band_weight(frequencies(size), low_hz, high_hz)
    noise = np.fft.irfft(spectrum, size)
    return np.asarray(noise[:count] / math.sqrt(float(np.mean(noise * noise))))


def frequencies(size: int) -> Samples:
    """Returns the frequencies of the bins of an rfft of `size`, in Hz."""
    return np.asarray(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), dtype=np.float64)


def band_weight(hz: Samples, low_hz: float, high_hz: float) -> Samples:
    """Returns 0..1 over frequency: 1 within the band, smooth over half an octave at its edges."""
    octaves = np.log2(np.maximum(hz, 1.0))
    rise = smoothstep((octaves - math.log2(low_hz)) * 2.0 + 0.5)
    fall = smoothstep((math.log2(high_hz) - octaves) * 2.0 + 0.5)
    return np.asarray(rise * fall)


def vibrato_phase(hz: float, count: int, cents: float, rate_hz: float) -> Samples:
    """Returns the phase of a tone whose vibrato sets in after 0.22 s; a closed form, no sum."""
    t = np.arange(count) / SAMPLE_RATE
    depth = (2.0 ** (cents / 1200.0) - 1.0) * hz / rate_hz
    onset = smoothstep((t - 0.22) / 0.35)
    wave = np.cos(2 * np.pi * rate_hz * t)
    return np.asarray(2 * np.pi * hz * t - depth * onset * wave)


def harmonics(phase: Samples, amplitudes: Sequence[float]) -> Samples:
    """Returns sum of a_k sin(k phase), k from 1; one sine and one cosine are taken in all."""
    before, current = np.zeros_like(phase), np.sin(phase)
    twice = 2.0 * np.cos(phase)
    total = amplitudes[0] * current
    for amplitude in amplitudes[1:]:
        before, current = current, twice * current - before
        total += amplitude * current
    return np.asarray(total)
