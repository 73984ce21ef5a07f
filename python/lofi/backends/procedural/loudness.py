"""K-weighting (ITU-R BS.1770-5) as a frequency response, and the loudness of a power."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from lofi.backends.procedural.settings import SAMPLE_RATE
from lofi.backends.procedural.tones import Samples

SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (-1.69065929318241, 0.73248077421585),
)
HIGH_PASS = ((1.0, -2.0, 1.0), (-1.99004745483398, 0.99007225036621))
OFFSET_DB = -0.691


@lru_cache(maxsize=8)
def k_weight(size: int) -> Samples:
    """Returns the K-filter's power response over the bins of an rfft of `size` at 48 kHz."""
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(size // 2 + 1, dtype=np.complex128)
    for (b0, b1, b2), (a1, a2) in (SHELF, HIGH_PASS):
        response *= (b0 + b1 * z + b2 * z * z) / (1 + a1 * z + a2 * z * z)
    return np.asarray(np.abs(response) ** 2)


def k_energy(samples: Samples) -> float:
    """Returns the K-weighted energy of mono samples: their sum of squares over 48000."""
    size = 1 << max(8, (2 * len(samples) - 1).bit_length())
    spectrum = np.abs(np.fft.rfft(samples, size)) ** 2 * k_weight(size)
    total = 2 * float(np.sum(spectrum)) - float(spectrum[0]) - float(spectrum[-1])
    return total / size / SAMPLE_RATE


def lufs(power: float) -> float:
    """Returns the loudness of a K-weighted mean square summed over channels."""
    return OFFSET_DB + 10 * math.log10(max(power, 1e-12))
