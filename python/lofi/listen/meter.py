"""Where the beats and the bars of a known tempo lie."""

from __future__ import annotations

import numpy as np

from lofi.listen.rhythm import FRAME, Onsets, onsets
from lofi.listen.sound import Response, Samples, Sound, filtered
from lofi.listen.tonality import chromagram

ONSET_EDGE = 0.75
"""The onset curve rises this share of a frame before the sound: a window sees it coming."""
LOW_HZ, HIGH_HZ = 30.0, 110.0
"""Kick and bass, who know where the beat is; hats and chords love to lie between."""
POINTS = 4
"""Chroma vectors per beat."""


def first_bar_sec(sound: Sound, bpm: float, beats_per_bar: int = 4) -> float:
    """Returns the time of the first bar line of a sound that beats at `bpm`.

    The beat is where the low end begins together; of its places in the bar, the bar line is the
    one where the chords change and the low end is strongest.
    """
    whole = onsets(sound)
    low = _thumps(sound, whole)
    curve = _level(low.curve) + 0.25 * _level(whole.curve)
    period = 60 / bpm * low.rate
    offset = _phase(curve, period)
    strong = _folded(Onsets(_level(low.curve), low.rate), offset, period, beats_per_bar)
    edge = ONSET_EDGE * FRAME / sound.rate
    start = offset / low.rate + edge
    change = _changes(sound, start, 60 / bpm, beats_per_bar)
    bar = int(np.argmax(_level(strong) + 2 * _level(change)))
    return float((start + bar * 60 / bpm) % (beats_per_bar * 60 / bpm))


def _thumps(sound: Sound, like: Onsets) -> Onsets:
    """Returns the rise of power in the lowest octaves, at the places of another curve.

    Power, not its logarithm: a kick drum is many times a bass note.
    """
    band = filtered(sound.mono, sound.rate, Response(LOW_HZ, HIGH_HZ, order=3))
    hop = sound.rate / like.rate
    edges = np.minimum((np.arange(len(like.curve) + 1) * hop).astype(np.int64), len(band))
    sums = np.concatenate([[0.0], np.cumsum(band * band)])
    power = (sums[edges[1:]] - sums[edges[:-1]]) / hop
    # The curve it is compared with sees each sound most of a frame early.
    ahead = round(ONSET_EDGE * FRAME / hop)
    rise = np.maximum(0.0, np.diff(power, n=1, prepend=power[:1]))
    rise = np.concatenate([rise[ahead:], np.zeros(ahead)])
    smooth = np.convolve(np.sqrt(rise), np.ones(3) / 3, "same")
    return Onsets(np.asarray(smooth), like.rate)


def _level(values: Samples) -> Samples:
    return np.asarray(values / (np.mean(values) + 1e-12))


def _phase(curve: Samples, period: float) -> float:
    """Returns the offset, in points, of the pulse train of `period` that gathers most."""
    places = np.arange(len(curve), dtype=np.float64)
    offsets = np.arange(0.0, period, 0.5)
    gathered = [
        float(np.mean(np.interp(np.arange(offset, len(curve) - 1, period), places, curve)))
        for offset in offsets
    ]
    return float(offsets[int(np.argmax(gathered))])


def _folded(found: Onsets, offset: float, period: float, beats: int) -> Samples:
    """Returns the mean onset strength of each beat of the bar."""
    places = np.arange(len(found.curve), dtype=np.float64)
    at = np.arange(offset, len(found.curve) - 1, period)
    values = np.interp(at, places, found.curve)
    return np.array([float(np.mean(values[beat::beats])) for beat in range(beats)])


def _changes(sound: Sound, start_sec: float, beat_sec: float, beats: int) -> Samples:
    """Returns how much the notes change on each beat of the bar."""
    rate = POINTS / beat_sec
    chroma = chromagram(sound, rate)
    count = int((sound.seconds - start_sec) / beat_sec)
    total, times = np.zeros(beats), np.zeros(beats)
    for beat in range(1, count - 1):
        at = round((start_sec + beat * beat_sec) * rate)
        before, after = chroma[max(0, at - POINTS) : at], chroma[at + 1 : at + 1 + POINTS]
        if len(before) and len(after):
            a, b = before.mean(axis=0), after.mean(axis=0)
            unit = float(np.linalg.norm(a) * np.linalg.norm(b)) + 1e-12
            total[beat % beats] += 1 - float(np.dot(a, b)) / unit
            times[beat % beats] += 1
    return np.asarray(total / np.maximum(times, 1))
