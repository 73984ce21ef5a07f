"""Everything the estimators say about one file, as a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from lofi.listen import loudness, rhythm, structure, tonality, tone
from lofi.listen.loudness import Loudness
from lofi.listen.rhythm import Onsets, Tempo
from lofi.listen.sound import Samples, Sound, read
from lofi.listen.tone import Colour, Faults, Width

SHORTEST_SECTION_SEC = 8.0


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the track that holds together."""

    start_sec: float
    end_sec: float
    lufs: float


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Tempo and onsets."""

    tempo: Tempo
    onsets_per_sec: float
    regularity: float
    """0…1: how much of the pulse returns after a beat or a bar."""
    spacing_spread: float
    """Standard deviation of the time between onsets over its mean: 0 a clock, 1 raindrops."""
    drum_ratio: float
    """Share of the onsets with energy above 4 kHz: 0 no hats or brushes, 1 nothing else."""


@dataclass(frozen=True, slots=True)
class Key:
    """The likeliest key and the next."""

    name: str
    correlation: float
    runner_up: str
    runner_up_correlation: float


@dataclass(frozen=True, slots=True)
class Repetition:
    """How the track's bars resemble each other, bars of four beats of the estimated tempo."""

    likeness: float
    """Highest correlation of two bars as waveforms; above 0.95 something is a copy."""
    chroma: float
    """Mean similarity of notes, bar against bar."""
    bands: float
    """Mean similarity of loudness in bands, bar against bar."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a machine can hear in a file."""

    path: str
    duration_sec: float
    sample_rate: int
    channels: int
    loudness: Loudness
    parts: tuple[Part, ...]
    rhythm: Rhythm
    key: Key
    colour: Colour
    width: Width
    repetition: Repetition
    faults: Faults

    def to_dict(self) -> dict[str, Any]:
        """Returns plain dicts, lists and numbers, ready for JSON."""
        return {name: _rounded(member) for name, member in asdict(self).items()}


def report(path: str | Path) -> Report:
    """Returns what can be heard in a file.

    Raises:
        InvalidSource: the file is missing, unreadable or empty.
    """
    return listen(read(Path(path)), str(path))


def listen(sound: Sound, name: str = "") -> Report:
    """Returns what can be heard in a sound."""
    found = rhythm.onsets(sound)
    tempo = rhythm.tempo(found)
    powers = loudness.block_powers(sound)
    keys = tonality.rank(tonality.key_chroma(sound))
    return Report(
        path=name,
        duration_sec=sound.seconds,
        sample_rate=sound.rate,
        channels=len(sound.samples),
        loudness=loudness.measure(sound),
        parts=_parts(sound, powers),
        rhythm=_rhythm(sound, found, tempo),
        key=Key(keys[0].name, keys[0].correlation, keys[1].name, keys[1].correlation),
        colour=tone.colour(*tone.long_term(sound)),
        width=tone.width(sound),
        repetition=_repetition(sound, tempo),
        faults=tone.faults(sound),
    )


def _rhythm(sound: Sound, found: Onsets, tempo: Tempo) -> Rhythm:
    times = rhythm.peaks(found)
    gaps = np.diff(times)
    hats = rhythm.peaks(rhythm.onsets(sound, low_hz=4000.0))
    near = [bool(len(hats)) and float(np.min(np.abs(hats - time))) < 0.03 for time in times]
    return Rhythm(
        tempo=tempo,
        onsets_per_sec=len(times) / max(sound.seconds, 1e-9),
        regularity=rhythm.regularity(found, tempo.bpm),
        spacing_spread=float(np.std(gaps) / np.mean(gaps)) if len(gaps) > 1 else 0.0,
        drum_ratio=float(np.mean(near)) if near else 0.0,
    )


def _parts(sound: Sound, powers: Samples) -> tuple[Part, ...]:
    """Returns the parts between the borders at which the sound changes most."""
    points = max(1, int(sound.seconds / 2))
    borders = [0.0, sound.seconds]
    if points >= 8:
        matrix = structure.self_similarity(sound, points)
        values = structure.novelty(matrix, half=4)
        step = sound.seconds / points
        for place in np.argsort(-values):
            at = float(place) * step
            if values[place] < 0.6 * np.max(values):
                break
            if min(abs(at - border) for border in borders) >= SHORTEST_SECTION_SEC:
                borders.append(at)
    borders.sort()
    parts = []
    for start, end in pairwise(borders):
        piece = powers[int(start * 10) : max(int(start * 10) + 1, int(end * 10))]
        level = loudness.integrated(piece) if len(piece) else loudness.SILENCE_LUFS
        parts.append(Part(start, end, level))
    return tuple(parts)


def _repetition(sound: Sound, tempo: Tempo) -> Repetition:
    bar_sec = 240.0 / tempo.bpm
    count = int(sound.seconds / bar_sec)
    if count < 2:
        return Repetition(0.0, 1.0, 1.0)
    bars = structure.bars_of(sound, bar_sec, count)
    few = min(count, 48)  # every pair is compared; an hour of bars would take an hour
    return Repetition(
        likeness=structure.waveform_likeness(sound, bar_sec, few),
        chroma=structure.off_diagonal_mean(bars.chroma_similarity),
        bands=structure.off_diagonal_mean(bars.band_similarity),
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(member) for member in value]
    return round(value, 4) if isinstance(value, float) else value
