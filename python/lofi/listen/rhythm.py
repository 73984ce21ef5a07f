"""Onsets, tempo, and how regularly things happen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lofi.listen.sound import Samples, Sound, spectra

FRAME, HOP_SEC = 1024, 1 / 187.5
BANDS = 24
Multiples = Sequence[tuple[float, float]]
COMB = ((0.5, 0.5), (1.0, 1.0), (2.0, 1.0), (4.0, 0.7))
"""Multiples of the beat's frequency and their weights."""
LEAST_RISE = 5.0
"""Least height of the curve that is an onset: less is the beating of a held chord."""
SWUNG = (3.0, 0.7)
"""Triplets, which swung eighths lean on: told apart only where the beat is nearly known."""
SLOWEST_BPM, FASTEST_BPM, LIKELY_BPM = 50.0, 180.0, 84.0


@dataclass(frozen=True, slots=True)
class Onsets:
    """The onset curve: how much begins at each moment."""

    curve: Samples
    rate: float
    """Points a second."""


@dataclass(frozen=True, slots=True)
class Tempo:
    """A tempo and how far it stands out."""

    bpm: float
    strength: float
    """The comb's peak over its median; below 3 there is hardly a beat."""


def onsets(sound: Sound, low_hz: float = 40.0, high_hz: float = 12000.0) -> Onsets:
    """Returns the rise of level in logarithmic bands, summed over bands."""
    hop = round(sound.rate * HOP_SEC)
    hz = np.fft.rfftfreq(FRAME, 1 / sound.rate)
    edges = np.geomspace(low_hz, min(high_hz, sound.rate / 2.2), BANDS + 1)
    matrix = np.zeros((len(hz), BANDS))
    for band in range(BANDS):
        low, high = edges[band], max(edges[band + 1], edges[band] + sound.rate / FRAME)
        matrix[(hz >= low) & (hz < high), band] = 1.0
    levels = [(frames**2) @ matrix for _, frames in spectra(sound.mono, FRAME, hop)]
    powers = np.concatenate(levels)
    # Relative to the loudest of each band, so that a quiet hiss counts for nothing.
    level = np.log10(powers / (np.max(powers, axis=0) + 1e-20) + 1e-4)
    rise = np.maximum(0.0, level[2:] - level[:-2])
    curve = np.concatenate([[0.0, 0.0], rise.sum(axis=1)])
    return Onsets(curve, sound.rate / hop)


def comb(found: Onsets, bpms: Samples, multiples: Multiples = COMB) -> Samples:
    """Returns how strongly the onset curve beats at each tempo and its multiples."""
    curve = found.curve - np.mean(found.curve)
    size = 1 << (8 * len(curve) - 1).bit_length()
    window = np.hanning(len(curve))
    spectrum = np.abs(np.fft.rfft(curve * window, size))
    step = found.rate / size
    score = np.zeros(len(bpms))
    for multiple, weight in multiples:
        score += weight * np.interp(bpms / 60 * multiple / step, np.arange(len(spectrum)), spectrum)
    return score


def tempo_near(found: Onsets, bpm: float, spread: float = 0.08) -> Tempo:
    """Returns the tempo within `spread` of `bpm` that beats most, and its strength there."""
    bpms = bpm * np.linspace(1 - spread, 1 + spread, 1601)
    score = comb(found, bpms, (*COMB, SWUNG))
    best = int(np.argmax(score))
    return Tempo(float(bpms[best]), float(score[best] / (np.median(score) + 1e-12)))


def tempo(found: Onsets) -> Tempo:
    """Returns the likeliest tempo of 50…180 bpm."""
    bpms = np.geomspace(SLOWEST_BPM, FASTEST_BPM, 4001)
    score = comb(found, bpms)
    liking = np.exp(-0.5 * (np.log2(bpms / LIKELY_BPM) / 0.55) ** 2)
    # Swung music beats in threes too: a tempo must itself be heard, not only its multiples.
    itself = np.sqrt(comb(found, bpms, ((1.0, 1.0),)))
    best = int(np.argmax(score * itself * liking))
    near = tempo_near(found, float(bpms[best]), 0.03)
    liked = score * liking
    return Tempo(near.bpm, float(liked[best] / (np.median(liked) + 1e-12)))


def peaks(found: Onsets) -> Samples:
    """Returns the times, in seconds, at which something clearly begins."""
    curve = found.curve
    reach = round(0.05 * found.rate)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(curve, reach), 2 * reach + 1)
    wide = round(0.5 * found.rate)
    sums = np.concatenate([[0.0], np.cumsum(np.pad(curve, wide, mode="edge"))])
    mean = (sums[2 * wide + 1 :] - sums[: -2 * wide - 1]) / (2 * wide + 1)
    enough = max(LEAST_RISE, 0.12 * float(curve.max()))
    tops = (curve >= around.max(axis=1)) & (curve > 1.3 * mean) & (curve > enough)
    return np.flatnonzero(tops) / found.rate


def regularity(found: Onsets, bpm: float) -> float:
    """Returns 0…1: how much of the onsets' spacing repeats after one beat or one bar of four."""
    curve = found.curve - np.mean(found.curve)
    size = 1 << (2 * len(curve) - 1).bit_length()
    auto = np.fft.irfft(np.abs(np.fft.rfft(curve, size)) ** 2, size)[: len(curve)]
    if auto[0] <= 0:
        return 0.0
    auto = auto / auto[0]
    best = 0.0
    for beats in (1, 2, 4):
        lag = round(60 / bpm * beats * found.rate)
        if lag + 4 < len(auto):
            overlap = 1 - lag / len(curve)
            best = max(best, float(np.max(auto[lag - 3 : lag + 4])) / overlap)
    return min(1.0, max(0.0, best))


def autocorrelation(found: Onsets, low_sec: float = 0.12, high_sec: float = 1.6) -> Samples:
    """Returns the onset curve's autocorrelation between two lags."""
    curve = found.curve - np.mean(found.curve)
    size = 1 << (2 * len(curve) - 1).bit_length()
    auto = np.fft.irfft(np.abs(np.fft.rfft(curve, size)) ** 2, size)
    low, high = round(low_sec * found.rate), round(high_sec * found.rate)
    return np.asarray(auto[low:high] / (auto[0] + 1e-20))
