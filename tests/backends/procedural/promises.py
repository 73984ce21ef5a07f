"""What each word of the vocabulary promises, as a figure that must move.

A promise is kept when the word moves its figure the promised way for at least 7 of 8 seeds (each
compared with the same seed without the word) and by more than the spread of that movement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lofi.backends.procedural.groove import swing_of
from lofi.backends.procedural.mixer import bus_levels
from lofi.backends.procedural.progressions import PROGRESSIONS
from lofi.backends.procedural.vocabulary import STYLE_WORDS, VOCABULARY, Word
from lofi.listen import rhythm, tone
from lofi.listen.sound import Response, Sound, filtered
from tests.backends.procedural.hearing import Track, render
from tests.backends.procedural.scores import passages, score

SEEDS = range(31, 39)
SECONDS = 16.0
BASE = "lofi"


@dataclass(frozen=True, slots=True)
class Promise:
    """A word, the figure it moves, and the way it moves it (+1, -1; 0: to a given value)."""

    word: str
    figure: str
    way: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A promise as measured over the seeds."""

    promise: Promise
    before: float
    after: float
    kept: int
    """Seeds for which it moved the right way."""
    effect: float
    """Mean movement over its spread between seeds."""
    beyond: float
    """Mean movement over the spread that the figure has without the word."""

    @property
    def ok(self) -> bool:
        return self.kept >= len(SEEDS) - 1 and self.effect > 1


def _floor_db(sound: Sound, low_hz: float, high_hz: float) -> float:
    """The quiet moments: the level that is always there."""
    band = filtered(sound.mono, sound.rate, Response(low_hz, high_hz))
    size = sound.rate // 40
    frames = band[: len(band) // size * size].reshape(-1, size)
    return float(np.percentile(20 * np.log10(np.sqrt(np.mean(frames**2, axis=1)) + 1e-7), 8))


def _detune_cents(sound: Sound) -> float:
    """How far spectral peaks wander from the tempered pitches."""
    from lofi.listen.sound import spectra

    frame = 16384
    total = weight = 0.0
    for _, rows in spectra(sound.mono, frame, frame // 2, batch=64):
        low, high = 100, 500
        part = np.log(rows[:, low - 1 : high + 1] + 1e-9)
        middle = part[:, 1:-1]
        floor = part.max(axis=1, keepdims=True) - 3.5
        top = (middle > part[:, :-2]) & (middle >= part[:, 2:]) & (middle > floor)
        row, column = np.nonzero(top)
        a, b, c = (part[row, column + shift] for shift in (0, 1, 2))
        hz = (column + low + 0.5 * (a - c) / (a - 2 * b + c)) * sound.rate / frame
        pitch = 12 * np.log2(hz / 440)
        size = np.exp(b)
        total += float(np.sum(size * np.abs(pitch - np.rint(pitch))))
        weight += float(np.sum(size))
    return 100 * total / weight


def _width(sound: Sound) -> float:
    """How little left and right agree in the middle: a room comes from everywhere."""
    left, right = (filtered(x, sound.rate, Response(300, 2500)) for x in sound.samples)
    return -float(np.corrcoef(left, right)[0, 1])


def _surf_db(sound: Sound) -> float:
    """The mean floor of all two seconds: a wave lifts it and lets it go."""
    band = filtered(sound.mono, sound.rate, Response(1500, 5000))
    size = sound.rate // 40
    frames = band[: len(band) // size * size].reshape(-1, size)
    level = 20 * np.log10(np.sqrt(np.mean(frames**2, axis=1)) + 1e-7)
    window = 80
    floors = [
        float(np.percentile(level[start : start + window], 8))
        for start in range(0, len(level) - window, window // 4)
    ]
    return float(np.mean(floors))


HEARD: dict[str, Callable[[Track], float]] = {
    "tempo": lambda track: (
        rhythm.tempo_near(rhythm.onsets(track.sound), float(track.facts["grid"]["bpm"])).bpm
    ),
    "onsets": lambda track: len(rhythm.peaks(rhythm.onsets(track.sound))) / track.sound.seconds,
    "brightness": lambda track: tone.colour(*tone.long_term(track.sound)).centroid_hz,
    "floor": lambda track: _floor_db(track.sound, 2000, 7000),
    "surf": lambda track: _surf_db(track.sound),
    "detune": lambda track: _detune_cents(track.sound),
    "room": lambda track: _width(track.sound),
}
"""Figures taken from the sound."""


def _notes_per_sec(prompt: str, seed: int) -> float:
    found = score(prompt=prompt, seed=seed, duration_sec=60)
    notes = {
        (note.part, note.beat)
        for passage in passages(found)
        for note in passage.notes
        if note.part != "pad"
    }
    return len(notes) / 60


def _jazz_bars(prompt: str, seed: int) -> float:
    found = score(prompt=prompt, seed=seed, duration_sec=120)
    key = found.settings.key
    plain = {
        chord
        for text in PROGRESSIONS[("lofi", key.minor)]
        for chord in text.replace("|", " ").split()
    }
    bars = found.harmony.bars[:-1]
    strange = [
        f"{(slot.chord.root - key.tonic) % 12}:{slot.chord.quality}" not in plain
        for bar in bars
        for slot in bar
    ]
    return float(np.mean(strange))


def _level(prompt: str, seed: int, bus: str) -> float:
    return bus_levels(score(prompt=prompt, seed=seed).settings)[bus]


def _drum_velocity(prompt: str, seed: int) -> float:
    found = score(prompt=prompt, seed=seed)
    hits = [
        note.velocity
        for passage in passages(found)
        for note in passage.notes
        if note.part in ("kick", "snare") and note.velocity > 0.4
    ]
    return float(np.mean(hits)) if hits else 0.0


WRITTEN: dict[str, Callable[[str, int], float]] = {
    "minor": lambda prompt, seed: float(score(prompt=prompt, seed=seed).settings.key.minor),
    "notes": _notes_per_sec,
    "swing": lambda prompt, seed: swing_of(score(prompt=prompt, seed=seed).settings).sixteenth,
    "bits": lambda prompt, seed: float(score(prompt=prompt, seed=seed).settings.bits),
    "jazz chords": _jazz_bars,
    "lead level": lambda prompt, seed: _level(prompt, seed, "lead"),
    "bass level": lambda prompt, seed: _level(prompt, seed, "bass"),
    "drum velocity": _drum_velocity,
}
"""Figures taken from the score."""


def promises(word: str) -> list[Promise]:
    """Returns what a word promises, the plainest first."""
    found: list[Promise] = []
    if word in STYLE_WORDS:
        found.append(Promise(word, f"style={STYLE_WORDS[word]}", 0))
    meaning = VOCABULARY.get(word)
    if meaning is not None:
        found += _of(word, meaning)
    return found


def _of(word: str, meaning: Word) -> list[Promise]:
    named = [
        Promise(word, f"{role}={getattr(meaning, role)}", 0)
        for role in ("keys", "lead", "bass", "kit", "pad")
        if getattr(meaning, role) is not None
    ]
    figures = {
        "tempo": meaning.tempo,
        "minor": meaning.minor,
        "notes": meaning.density,
        "onsets": meaning.density if abs(meaning.density) >= 0.3 else 0.0,
        "brightness": meaning.bright,
        "room": meaning.reverb,
        "floor": meaning.noise + meaning.rain,
        "surf": meaning.waves,
        "detune": meaning.wobble if abs(meaning.wobble) >= 0.15 else 0.0,
        "swing": meaning.swing,
        "bits": float(meaning.bits),
        "jazz chords": meaning.jazz,
        "lead level": meaning.lead_level,
        "bass level": meaning.bass_level,
        "drum velocity": meaning.drums_level,
    }
    moved = [
        Promise(word, figure, 1 if amount > 0 else -1)
        for figure, amount in sorted(figures.items(), key=lambda item: -abs(item[1]))
        if amount != 0
    ]
    return named + moved


def measure(promise: Promise, base: dict[int, Track], said: dict[int, Track]) -> Outcome:
    """Returns how a promise was kept; `base` and `said` are rendered tracks by seed."""
    if "=" in promise.figure:
        role, value = promise.figure.split("=")
        hits = [_has(role, value, f"{BASE} {promise.word}", seed) for seed in SEEDS]
        misses = [_has(role, value, BASE, seed) for seed in SEEDS]
        before, after = float(np.mean(misses)), float(np.mean(hits))
        return Outcome(promise, before, after, sum(hits), 9.0, 9.0)
    before, after = [], []
    for seed in SEEDS:
        if promise.figure in HEARD:
            before.append(HEARD[promise.figure](base[seed]))
            after.append(HEARD[promise.figure](said[seed]))
        else:
            before.append(WRITTEN[promise.figure](BASE, seed))
            after.append(WRITTEN[promise.figure](f"{BASE} {promise.word}", seed))
    return judged(promise, before, after)


def judged(promise: Promise, before: Sequence[float], after: Sequence[float]) -> Outcome:
    """Returns the outcome of a figure without and with the word, seed by seed."""
    moved = promise.way * (np.asarray(after) - np.asarray(before))
    if promise.figure == "minor":
        # A seed that was minor already cannot become more so: count where it ends up.
        wanted = 1.0 if promise.way > 0 else 0.0
        kept = int(np.sum(np.asarray(after) == wanted))
        spread = float(np.std(before)) + 1e-9
        beyond = float(np.mean(moved)) / spread
        return Outcome(promise, float(np.mean(before)), float(np.mean(after)), kept, 9.0, beyond)
    kept = int(np.sum(moved > 0))
    shift = float(np.mean(moved))
    effect = min(99.0, shift / (float(np.std(moved)) + 1e-9))
    beyond = min(99.0, shift / (float(np.std(before)) + 1e-9))
    return Outcome(promise, float(np.mean(before)), float(np.mean(after)), kept, effect, beyond)


def _has(role: str, value: str, prompt: str, seed: int) -> bool:
    settings = score(prompt=prompt, seed=seed).settings
    if role == "style":
        return settings.style.name == value
    return getattr(settings, role) == value


def survey(words: Sequence[str]) -> Iterator[Outcome]:
    """Yields every promise of `words` as measured; renders what must be heard."""
    base = {seed: render(prompt=BASE, seed=seed, duration_sec=SECONDS) for seed in SEEDS}
    for word in words:
        found = promises(word)
        said: dict[int, Track] = {}
        if any(promise.figure in HEARD for promise in found):
            said = {
                seed: render(prompt=f"{BASE} {word}", seed=seed, duration_sec=SECONDS)
                for seed in SEEDS
            }
        for promise in found:
            yield measure(promise, base, said)
