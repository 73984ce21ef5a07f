"""How a sound repeats and changes: bars against bars, borders, returns, tracks against tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lofi.listen import rhythm, tone
from lofi.listen.sound import Response, Samples, Sound, filtered, spectra
from lofi.listen.tonality import chromagram

POINTS = 16
"""Points of a bar at which it is compared."""
OCTAVES_HZ = tuple(40.0 * 2**band for band in range(8))


@dataclass(frozen=True, slots=True)
class Bars:
    """Every bar of a track by its notes and by its loudness in octave bands."""

    chroma: Samples
    """[bars, POINTS, 12], unit vectors."""
    bands: Samples
    """[bars, POINTS, 8], dB, z-scored."""

    @property
    def chroma_similarity(self) -> Samples:
        """[bars, bars], cosine of whole bars."""
        return _cosine(self.chroma)

    @property
    def band_similarity(self) -> Samples:
        """[bars, bars], cosine of whole bars."""
        return _cosine(self.bands)


def _cosine(bars: Samples) -> Samples:
    flat = bars.reshape(len(bars), -1)
    unit = flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-12)
    return np.asarray(unit @ unit.T)


def octave_bands(sound: Sound, points_per_sec: float) -> Samples:
    """Returns levels [points, 8] of octave bands from 30 Hz to 10 kHz, in dB."""
    frame = 4096
    hz = np.fft.rfftfreq(frame, 1 / sound.rate)
    matrix = np.zeros((len(hz), len(OCTAVES_HZ)))
    for band, centre in enumerate(OCTAVES_HZ):
        matrix[(hz >= centre / 2**0.5) & (hz < centre * 2**0.5), band] = 1.0
    hop = max(1, round(sound.rate / points_per_sec))
    padded = np.pad(sound.mono, frame // 2)
    rows = [(frames**2) @ matrix for _, frames in spectra(padded, frame, hop, batch=256)]
    return np.asarray(10 * np.log10(np.concatenate(rows) + 1e-10))


def bars_of(sound: Sound, bar_sec: float, count: int, first_sec: float = 0.0) -> Bars:
    """Returns `count` bars of `bar_sec` seconds from `first_sec` on."""
    fine = 4 * POINTS / bar_sec  # sampled finer than needed, then taken at the exact places
    at = first_sec + (np.arange(count * POINTS) + 0.5) * bar_sec / POINTS
    chroma = _taken(chromagram(sound, fine), at, sound, fine)
    bands = _taken(octave_bands(sound, fine), at, sound, fine)
    chroma = chroma / (np.linalg.norm(chroma, axis=1, keepdims=True) + 1e-12)
    bands = (bands - bands.mean(axis=0)) / (bands.std(axis=0) + 1e-9)
    return Bars(chroma.reshape(count, POINTS, -1), bands.reshape(count, POINTS, -1))


def _taken(rows: Samples, seconds: Samples, sound: Sound, points_per_sec: float) -> Samples:
    hop = max(1, round(sound.rate / points_per_sec))
    index = np.clip(np.rint(seconds * sound.rate / hop).astype(np.int64), 0, len(rows) - 1)
    return np.asarray(rows[index])


def off_diagonal_mean(matrix: Samples) -> float:
    """Returns the mean similarity of two different bars."""
    count = len(matrix)
    if count < 2:
        return 1.0
    return float((np.sum(matrix) - np.trace(matrix)) / (count * (count - 1)))


def waveform_likeness(
    sound: Sound, bar_sec: float, count: int, first_sec: float = 0.0, reach_sec: float = 0.012
) -> float:
    """Returns the highest correlation of two bars as waveforms (150…3000 Hz), slightly shifted."""
    band = filtered(sound.mono, sound.rate, Response(150, 3000, order=4))
    keep = max(1, sound.rate // 8000)
    band, rate = band[::keep], sound.rate / keep
    length, reach = round(bar_sec * rate), round(reach_sec * rate)
    size = 1 << (length + 2 * reach).bit_length()
    spectra_of, norms = [], []
    for bar in range(count):
        start = round((first_sec + bar * bar_sec) * rate)
        piece = band[start : start + length]
        norms.append(float(np.linalg.norm(piece)))
        spectra_of.append(np.fft.rfft(piece, size))
    loud = max(norms, default=0.0)
    best = 0.0
    for a in range(count):
        for b in range(a + 1, count):
            if min(norms[a], norms[b]) < 0.03 * loud:
                continue
            cross = np.fft.irfft(spectra_of[a] * np.conj(spectra_of[b]), size)
            near = np.concatenate([cross[: reach + 1], cross[-reach:]])
            best = max(best, float(np.max(near)) / (norms[a] * norms[b]))
    return best


def novelty(matrix: Samples, half: int = 2) -> Samples:
    """Returns, for each border before bar 1…n-1, how much the bars around it differ across it."""
    count = len(matrix)
    out = np.zeros(count)
    for border in range(1, count):
        low, high = max(0, border - half), min(count, border + half)
        before = matrix[low:border, low:border]
        after = matrix[border:high, border:high]
        across = matrix[low:border, border:high]
        out[border] = 0.5 * (np.mean(before) + np.mean(after)) - np.mean(across)
    return out


def border_contrast(matrix: Samples, borders: Sequence[int]) -> float:
    """Returns mean novelty at the borders over that of bars more than one away from any."""
    values = novelty(matrix)
    inside = [border for border in borders if 2 <= border <= len(matrix) - 2]
    elsewhere = [
        bar for bar in range(2, len(matrix) - 1) if all(abs(bar - border) > 1 for border in borders)
    ]
    if not inside or not elsewhere:
        return 1.0
    return float(np.mean(values[inside]) / (np.mean(values[elsewhere]) + 1e-12))


def aligned_similarity(chroma: Samples, first: tuple[int, int], second: tuple[int, int]) -> float:
    """Returns the mean chroma cosine, bar by bar, of two runs (first bar, bars)."""
    count = min(first[1], second[1])
    a = chroma[first[0] : first[0] + count].reshape(count, -1)
    b = chroma[second[0] : second[0] + count].reshape(count, -1)
    unit = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 1e-12
    return float(np.mean(np.sum(a * b, axis=1) / unit))


@dataclass(frozen=True, slots=True)
class Print:
    """What tells one track from another."""

    levels_db: Samples
    chroma: Samples
    pulse: Samples


def print_of(sound: Sound) -> Print:
    """Returns third-octave levels, mean chroma and onset autocorrelation of a sound."""
    hz, power = tone.long_term(sound)
    centres = 50 * 2 ** (np.arange(22) / 3)
    levels = 10 * np.log10(tone.third_octaves(hz, power, centres) + 1e-14)
    chroma = chromagram(sound, 8.0).mean(axis=0)
    return Print(
        levels - np.mean(levels),
        chroma / (np.linalg.norm(chroma) + 1e-12),
        rhythm.autocorrelation(rhythm.onsets(sound)),
    )


def distance(a: Print, b: Print) -> float:
    """Returns how far two tracks are apart: spectrum, notes, pulse."""
    spectrum = float(np.sqrt(np.mean((a.levels_db - b.levels_db) ** 2))) / 6
    notes = 2 * (1 - float(np.dot(a.chroma, b.chroma)))
    pulse = float(np.dot(a.pulse, b.pulse)) / (
        float(np.linalg.norm(a.pulse) * np.linalg.norm(b.pulse)) + 1e-12
    )
    return spectrum + notes + (1 - pulse)


def self_similarity(sound: Sound, points: int) -> Samples:
    """Returns [points, points] similarity of moments of a whole sound, for the eye."""
    rate = points / sound.seconds
    fine = max(rate, 4.0)
    chroma = chromagram(sound, fine)
    bands = octave_bands(sound, fine)
    bands = (bands - bands.mean(axis=0)) / (bands.std(axis=0) + 1e-9)
    both = np.concatenate([chroma * 1.5, bands / np.sqrt(8)], axis=1)
    edges = np.linspace(0, len(both), points + 1).astype(np.int64)
    rows = np.stack([both[a : max(a + 1, b)].mean(axis=0) for a, b in pairwise(edges)])
    unit = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-12)
    return np.asarray(unit @ unit.T)
