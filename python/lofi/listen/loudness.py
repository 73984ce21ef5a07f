"""Loudness by ITU-R BS.1770-5 and EBU Tech 3342, true peak, and loudness over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lofi.listen.sound import Samples, Sound

OFFSET_DB = -0.691
SILENCE_LUFS = -120.0
BLOCKS_PER_SEC = 10
OVERSAMPLING = 4
HALF_WIDTH = 24


@dataclass(frozen=True, slots=True)
class Loudness:
    """Everything about level. LUFS, LU, dBTP and dB."""

    integrated_lufs: float
    range_lu: float
    loudest_lufs: float
    """The loudest 400 ms."""
    true_peak_db: float
    crest_db: float
    """True peak above integrated loudness."""


def k_weighted(x: Samples, rate: int) -> Samples:
    """Returns x [n] through the K-filter, whose magnitude is what counts for power."""
    size, margin = 1 << 18, 1 << 14
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    gain = np.ones(size // 2 + 1, dtype=np.complex128)
    for b, a in _biquads(rate):
        gain *= (b[0] + b[1] * z + b[2] * z * z) / (1 + a[0] * z + a[1] * z * z)
    padded = np.concatenate([np.zeros(margin), x, np.zeros(size)])
    out, step = np.empty(len(x)), size - 2 * margin
    for start in range(0, len(x), step):
        piece = np.fft.irfft(np.fft.rfft(padded[start : start + size]) * gain, size)
        count = min(step, len(x) - start)
        out[start : start + count] = piece[margin : margin + count]
    return out


def _biquads(rate: int) -> list[tuple[tuple[float, float, float], tuple[float, float]]]:
    """Returns the shelf and the high-pass of BS.1770 for any sample rate."""
    k = math.tan(math.pi * 1681.974450955533 / rate)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = (
        (
            (high + band * k / q + k * k) / a0,
            2 * (k * k - high) / a0,
            (high - band * k / q + k * k) / a0,
        ),
        (2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0),
    )
    k, q = math.tan(math.pi * 38.13547087602444 / rate), 0.5003270373238773
    a0 = 1 + k / q + k * k
    high_pass = ((1.0, -2.0, 1.0), (2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0))
    return [shelf, high_pass]


def block_powers(sound: Sound) -> Samples:
    """Returns the K-weighted power of each 100 ms, summed over channels (mono counts once)."""
    hop = sound.rate // BLOCKS_PER_SEC
    count = max(1, sound.frames // hop)
    total = np.zeros(count)
    for channel in sound.samples:
        weighted = k_weighted(channel, sound.rate)
        if len(weighted) < hop:
            weighted = np.pad(weighted, (0, hop - len(weighted)))
        total += np.mean(weighted[: count * hop].reshape(count, hop) ** 2, axis=1)
    return total


def lufs(power: float) -> float:
    """Returns the loudness of a K-weighted power."""
    return OFFSET_DB + 10 * math.log10(power) if power > 1e-12 else SILENCE_LUFS


def _windows(powers: Samples, blocks: int) -> Samples:
    """Returns the mean power of each run of `blocks` blocks of 100 ms."""
    blocks = min(blocks, len(powers))
    sums = np.concatenate([[0.0], np.cumsum(powers)])
    return np.asarray((sums[blocks:] - sums[:-blocks]) / blocks)


def integrated(powers: Samples) -> float:
    """Returns the gated loudness of 100 ms powers."""
    windows = _windows(powers, 4)
    loud = windows[windows > 10 ** ((-70 - OFFSET_DB) / 10)]
    if len(loud) == 0:
        return SILENCE_LUFS
    gated = loud[loud > np.mean(loud) / 10]
    return lufs(float(np.mean(gated)))


def loudness_range(powers: Samples) -> float:
    """Returns the loudness range in LU: 10th to 95th percentile of gated 3 s windows."""
    windows = _windows(powers, 30)
    loud = windows[windows > 10 ** ((-70 - OFFSET_DB) / 10)]
    if len(loud) < 2:
        return 0.0
    gated = loud[loud > np.mean(loud) / 100]
    low, high = np.percentile(10 * np.log10(gated), [10, 95])
    return float(high - low)


def true_peak_db(sound: Sound) -> float:
    """Returns the 4 times oversampled peak over all channels, in dBTP."""
    peak = float(np.max(np.abs(sound.samples)))
    if peak == 0:
        return SILENCE_LUFS
    n = np.arange(-HALF_WIDTH, HALF_WIDTH)
    best = peak
    for channel in sound.samples:
        padded = np.pad(channel, HALF_WIDTH)
        # Between two samples the curve rises little above both: only loud places need a look.
        places = np.flatnonzero(np.abs(channel) > 0.7 * peak)
        for first in range(0, len(places), 4096):
            at = places[first : first + 4096, None] + HALF_WIDTH + n
            around = padded[at]
            for phase in range(-OVERSAMPLING + 1, OVERSAMPLING):
                x = n - phase / OVERSAMPLING
                kernel = np.sinc(x) * np.cos(np.pi * x / (2 * HALF_WIDTH + 2)) ** 2
                best = max(best, float(np.max(np.abs(around @ kernel))))
    return 20 * math.log10(best)


def measure(sound: Sound) -> Loudness:
    """Returns the loudness figures of a sound."""
    powers = block_powers(sound)
    whole = integrated(powers)
    peak = true_peak_db(sound)
    return Loudness(
        integrated_lufs=whole,
        range_lu=loudness_range(powers),
        loudest_lufs=lufs(float(np.max(_windows(powers, 4)))),
        true_peak_db=peak,
        crest_db=peak - whole,
    )
