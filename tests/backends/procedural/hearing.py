"""The checks of a finished track: estimators of `lofi.listen` against bounds.

An estimator sees only the samples and what the track claims of itself (tempo, key, bars and where
its sections begin).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lofi.backends.procedural.pipeline import Procedural
from lofi.backends.procedural.score import Score
from lofi.backends.procedural.settings import resolve
from lofi.listen import loudness, rhythm, structure, tonality, tone
from lofi.listen.sound import Sound
from lofi.worker import backend

STYLES = ("lofi", "jazz", "ambient", "house", "rain")


@dataclass(frozen=True, slots=True)
class Track:
    """A rendered recipe and what it claims."""

    recipe: Mapping[str, Any]
    sound: Sound
    facts: Mapping[str, Any]
    bar_sec: float
    bars: int
    """Whole bars of music, up to the last chord."""
    sections: tuple[tuple[str, int, int], ...]
    """(letter, first bar, bars)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one track."""

    name: str
    value: float
    low: float
    high: float

    @property
    def ok(self) -> bool:
        return self.low <= self.value <= self.high


def stretches(recipe: Mapping[str, Any]) -> list[np.ndarray]:
    job = backend.Job({"task": "text2music", "prompt": "", "seed": 1, **recipe})
    events = Procedural().run(job, lambda: None)
    return [event.samples for event in events if isinstance(event, backend.Stretch)]


def render(**recipe: Any) -> Track:
    """Returns a rendered track; members of the recipe as keywords."""
    whole = {"task": "text2music", "prompt": "", "seed": 1, "duration_sec": 60.0, **recipe}
    facts: Mapping[str, Any] = {}
    pieces = []
    for event in Procedural().run(backend.Job(whole), lambda: None):
        if isinstance(event, backend.Facts):
            facts = event.values
        elif isinstance(event, backend.Stretch):
            pieces.append(event.samples)
    samples = np.concatenate(pieces).T.astype(np.float64)
    settings = resolve(whole)
    form = Score(settings).form
    return Track(
        whole,
        Sound(np.ascontiguousarray(samples), 48000),
        facts,
        form.bar_beats * settings.beat_sec,
        form.bars,
        tuple((s.letter, s.start_bar, s.bars) for s in form.sections),
    )


BAND_BOUNDS = ((-28, -4.5), (-16, -1.5), (-9, -0.4), (-26, -5), (-46, -17), (-72, -36))


def findings(track: Track) -> list[Finding]:
    """Returns every check that looks at one track alone."""
    found = (
        level_findings(track)
        + tempo_findings(track)
        + key_findings(track)
        + colour_findings(track)
        + faults_findings(track)
    )
    return found + bars_findings(track)


def level_findings(track: Track) -> list[Finding]:
    level = loudness.measure(track.sound)
    whole = level.integrated_lufs
    return [
        Finding("loudness_lufs", whole, -17, -15),
        Finding("true_peak_db", level.true_peak_db, -99, -1),
        Finding("crest_db", level.crest_db, 9, 16),
        Finding("range_lu", level.range_lu, 1, 11),
        Finding("loudest_over_lu", level.loudest_lufs - whole, 0, 8),
    ]


def tempo_findings(track: Track) -> list[Finding]:
    bpm = float(track.facts["grid"]["bpm"])
    tempo = rhythm.tempo_near(rhythm.onsets(track.sound), bpm)
    strong = 4.0 if track.sound.seconds > 30 else 2.5
    return [
        Finding("tempo_error_pct", 100 * (tempo.bpm / bpm - 1), -0.5, 0.5),
        Finding("tempo_strength", tempo.strength, strong, 999),
    ]


def key_findings(track: Track) -> list[Finding]:
    note, mode = str(track.facts["keyscale"]).split()
    letters = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
    tonic = (letters[note[0]] + note.count("#") - note.count("b")) % 12
    minor = mode == "minor"
    ranked = tonality.rank(tonality.key_chroma(track.sound, track.bars * track.bar_sec))
    first = ranked[0]
    right = (first.tonic, first.minor) == (tonic, minor)
    claimed = next(guess for guess in ranked if (guess.tonic, guess.minor) == (tonic, minor))
    return [
        Finding("key_or_relative", float(right or first.is_relative_of(tonic, minor=minor)), 1, 1),
        Finding("key_exact", float(right), 0, 1),
        Finding("key_correlation", claimed.correlation, 0.6, 1),
    ]


def colour_findings(track: Track) -> list[Finding]:
    colour = tone.colour(*tone.long_term(track.sound))
    width = tone.width(track.sound)
    bands = [
        Finding(f"band_{place}_db", value, low, high)
        for place, (value, (low, high)) in enumerate(zip(colour.bands_db, BAND_BOUNDS, strict=True))
    ]
    return [
        Finding("centroid_hz", colour.centroid_hz, 550, 2200),
        Finding("rolloff_hz", colour.rolloff_hz, 250, 2500),
        Finding("slope_db_oct", colour.slope_db_per_octave, -7, 1.5),
        *bands,
        Finding("stereo", width.correlation, 0.2, 0.98),
        Finding("stereo_low", width.low_correlation, 0.95, 1),
        Finding("mono_loss_db", width.mono_loss_db, -3, 0.01),
    ]


def faults_findings(track: Track) -> list[Finding]:
    faults = tone.faults(track.sound)
    return [
        Finding("start_db", faults.start_db, -40, 0),
        Finding("click_db", faults.click_db, -200, -60),
        Finding("dc", faults.dc, 0, 1e-3),
        Finding("end_db", faults.end_db, -200, -60),
    ]


def bars_findings(track: Track) -> list[Finding]:
    found = [
        Finding(
            "bars_alike",
            structure.waveform_likeness(track.sound, track.bar_sec, track.bars),
            -1,
            0.9,
        )
    ]
    if track.bars >= 8:
        bars = structure.bars_of(track.sound, track.bar_sec, track.bars)
        chroma = structure.off_diagonal_mean(bars.chroma_similarity)
        bands = structure.off_diagonal_mean(bars.band_similarity)
        found.append(Finding("bars_chroma", chroma, 0.5, 0.9))
        found.append(Finding("bars_bands", bands, 0.02, 0.6))
    return found


def contrast(track: Track) -> float:
    """Returns novelty at the section borders over elsewhere."""
    bars = structure.bars_of(track.sound, track.bar_sec, track.bars)
    matrix = 0.5 * (bars.chroma_similarity + bars.band_similarity)
    return structure.border_contrast(matrix, [start for _, start, _ in track.sections[1:]])


def returns(track: Track) -> tuple[float, float] | None:
    """Returns (A against A, A against B and C) if the track has both."""
    runs = [(start, count) for letter, start, count in track.sections if letter == "A"]
    others = [(start, count) for letter, start, count in track.sections if letter in "BC"]
    if len(runs) < 2 or not others:
        return None
    chroma = structure.bars_of(track.sound, track.bar_sec, track.bars).chroma
    same = structure.aligned_similarity(chroma, runs[0], runs[-1])
    other = [structure.aligned_similarity(chroma, runs[0], run) for run in others]
    return same, float(np.mean(other))


def prints(track: Track) -> tuple[structure.Print, structure.Print, structure.Print]:
    """Returns the prints of the whole body and of its two halves, without intro and outro."""
    body = [(start, count) for letter, start, count in track.sections if letter not in "IO"]
    first = round(body[0][0] * track.bar_sec * track.sound.rate)
    last = round((body[-1][0] + body[-1][1]) * track.bar_sec * track.sound.rate)
    middle = (first + last) // 2
    whole, left, right = (
        Sound(track.sound.samples[:, a:b], track.sound.rate)
        for a, b in ((first, last), (first, middle), (middle, last))
    )
    return structure.print_of(whole), structure.print_of(left), structure.print_of(right)


def failures(track: Track, found: Sequence[Finding]) -> list[str]:
    """Returns a line for each finding of a track outside its bounds."""
    return [
        f"{track.facts['style']} seed {track.recipe['seed']}: {finding.name} {finding.value:.3f} "
        f"not in {finding.low}…{finding.high}"
        for finding in found
        if not finding.ok
    ]
