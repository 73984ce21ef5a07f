"""How loud a sound is: integrated loudness (ITU-R BS.1770-4) and true peak, block by block."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Float32 [frames, channels]."""

HOPS_PER_SEC = 10
HOPS_PER_BLOCK = 4
"""Loudness is gated over blocks of 400 ms that begin every 100 ms."""
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
OFFSET_LUFS = -0.691
"""Makes a 1 kHz sine of 0 dBFS in one channel read −3.01 LUFS."""

FFT_FRAMES = 65536
FILTER_FRAMES = 16384
"""The K filter's response has decayed below 1e-15 by then at every rate up to 96 kHz."""

OVERSAMPLING = 4
PHASE_TAPS = 24
"""Twice the Recommendation's, for a flatter passband."""


def decibels(amplitude: float) -> float | None:
    """Returns the level of a linear amplitude in dB, None for silence."""
    return 20 * math.log10(amplitude) if amplitude > 0 else None


class LoudnessMeter:
    """Integrated loudness of a sound that comes in blocks.

    The K filter is two biquads; their common impulse response is applied by overlap-save, since
    numpy has no recursive filter.
    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self._hop_frames = max(1, round(sample_rate / HOPS_PER_SEC))
        self._response = _k_filter(sample_rate)
        self._tail = np.zeros((FILTER_FRAMES - 1, channels), np.float32)
        self._fresh: list[Samples] = []
        self._fresh_frames = 0
        self._weighted = np.zeros((0, channels), np.float32)
        self._hops: list[float] = []

    def feed(self, block: Samples) -> None:
        """Takes the next frames."""
        self._fresh.append(block)
        self._fresh_frames += len(block)
        if self._fresh_frames >= FFT_FRAMES - FILTER_FRAMES:
            self._filter()

    def integrated(self) -> float | None:
        """Returns LUFS so far; None when every block is under the gate or none is whole."""
        self._filter()
        hops = np.asarray(self._hops)
        if len(hops) < HOPS_PER_BLOCK:
            return None
        powers = np.convolve(hops, np.full(HOPS_PER_BLOCK, 1 / HOPS_PER_BLOCK), "valid")
        powers = powers[powers > _power(ABSOLUTE_GATE_LUFS)]
        if len(powers) == 0:
            return None
        # Never empty: the loudest block is not under the mean less 10 LU.
        powers = powers[powers > _power(_loudness(float(powers.mean())) + RELATIVE_GATE_LU)]
        return _loudness(float(powers.mean()))

    def _filter(self) -> None:
        if not self._fresh:
            return
        fresh = np.concatenate(self._fresh)
        self._fresh, self._fresh_frames = [], 0
        step = FFT_FRAMES - FILTER_FRAMES + 1
        for start in range(0, len(fresh), step):
            piece = fresh[start : start + step]
            joined = np.concatenate([self._tail, piece])
            spectrum = np.fft.rfft(joined, FFT_FRAMES, axis=0) * self._response[:, None]
            filtered = np.fft.irfft(spectrum, FFT_FRAMES, axis=0)
            self._collect(filtered[FILTER_FRAMES - 1 : len(joined)].astype(np.float32))
            self._tail = joined[-(FILTER_FRAMES - 1) :]

    def _collect(self, weighted: Samples) -> None:
        joined = np.concatenate([self._weighted, weighted])
        whole = len(joined) // self._hop_frames
        cut = whole * self._hop_frames
        hops = joined[:cut].reshape(whole, self._hop_frames, -1)
        self._hops.extend(np.square(hops, dtype=np.float64).mean(axis=1).sum(axis=1).tolist())
        self._weighted = joined[cut:]


class TruePeakMeter:
    """The highest amplitude between the samples, by fourfold interpolation."""

    def __init__(self, channels: int) -> None:
        self.peak = 0.0
        """Linear amplitude so far, the samples themselves included."""
        self._phases = _phases()
        self._tail = np.zeros((PHASE_TAPS - 1, channels), np.float32)

    def feed(self, block: Samples) -> None:
        """Takes the next frames."""
        joined = np.concatenate([self._tail, block])
        self._tail = joined[-(PHASE_TAPS - 1) :]
        self.peak = max(self.peak, float(np.abs(block).max(initial=0.0)))
        for channel in np.ascontiguousarray(joined.T):
            if len(channel) < PHASE_TAPS:
                continue
            windows = np.lib.stride_tricks.sliding_window_view(channel, PHASE_TAPS)
            self.peak = max(self.peak, float(np.abs(windows @ self._phases).max()))

    def finish(self) -> float:
        """Returns the peak once what rings after the last sample is counted, too."""
        self.feed(np.zeros_like(self._tail))
        return self.peak


def _loudness(power: float) -> float:
    return OFFSET_LUFS + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness - OFFSET_LUFS) / 10))


def _k_filter(sample_rate: int) -> NDArray[np.complex64]:
    """Returns the frequency response of the K filter, its impulse response cut to length."""
    z = np.exp(-2j * np.pi * np.fft.rfftfreq(FFT_FRAMES))
    response = np.ones_like(z)
    for numerator, denominator in (_shelf(sample_rate), _high_pass(sample_rate)):
        response *= np.polyval(numerator[::-1], z) / np.polyval(denominator[::-1], z)
    impulse = np.fft.irfft(response)
    return np.fft.rfft(impulse[:FILTER_FRAMES], FFT_FRAMES).astype(np.complex64)


def _shelf(sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The head's shelf: the Recommendation gives 48 kHz; these are its analogue parameters."""
    frequency, gain_db, q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k = math.tan(math.pi * frequency / sample_rate)
    high = 10 ** (gain_db / 20)
    band = high**0.4996667741545416
    scale = 1 + k / q + k * k
    return (
        np.array([high + band * k / q + k * k, 2 * (k * k - high), high - band * k / q + k * k])
        / scale,
        np.array([scale, 2 * (k * k - 1), 1 - k / q + k * k]) / scale,
    )


def _high_pass(sample_rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The low end's roll-off; its numerator is not scaled, as in the Recommendation."""
    frequency, q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * frequency / sample_rate)
    scale = 1 + k / q + k * k
    return (
        np.array([1.0, -2.0, 1.0]),
        np.array([scale, 2 * (k * k - 1), 1 - k / q + k * k]) / scale,
    )


def _phases() -> NDArray[np.float32]:
    """Returns windowed sincs [taps, 3]: the value a quarter, half, three quarters of a frame on."""
    taps = np.arange(PHASE_TAPS)[:, None]
    offsets = np.arange(1, OVERSAMPLING) / OVERSAMPLING
    distance = taps - (PHASE_TAPS // 2 - 1) - offsets
    reach = PHASE_TAPS / 2
    window = np.i0(8.0 * np.sqrt(np.clip(1 - (distance / reach) ** 2, 0, None))) / np.i0(8.0)
    phases = np.sinc(distance) * window
    scaled: NDArray[np.float32] = (phases / phases.sum(axis=0)).astype(np.float32)
    return scaled
