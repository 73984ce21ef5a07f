"""What the help promises of each word, as a figure that must move.

The help lists features (`slower`, `chords on the piano`) and the words that move them. A promise is
kept when a word moves its figure the promised way for at least 7 of 8 seeds, each compared with the
same seed without the word, and on the mean by more than the figure spreads from seed to seed
without it. `minor, always` promises more: every seed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from lofi.backends.procedural.groove import swing_of
from lofi.backends.procedural.mixer import bus_levels
from lofi.backends.procedural.progressions import PROGRESSIONS
from lofi.listen import tone
from lofi.listen.sound import Response, Sound, filtered, spectra
from tests.backends.procedural.hearing import Track, render
from tests.backends.procedural.scores import passages, score

HELP = Path(__file__).parents[3] / "doc" / "lofi.txt"
BASE = "lofi"
HEARD_SEEDS = range(31, 39)
WRITTEN_SEEDS = range(31, 47)
CHOSEN_SEEDS = range(100, 164)
SECONDS = 16.0
CERTAIN = 99.0
"""Stands for a figure that never moves without the word."""


@dataclass(frozen=True, slots=True)
class Feature:
    """What the help calls a figure, and the way it is promised to move."""

    figure: str
    way: int
    always: bool = False


def _chosen(name: str) -> Feature:
    return Feature(name, 1, always=True)


FEATURES: dict[str, Feature] = {
    "style jazz": _chosen("style=jazz"),
    "style ambient": _chosen("style=ambient"),
    "style house": _chosen("style=house"),
    "style rain": _chosen("style=rain"),
    "chords: piano": _chosen("keys=piano"),
    "chords: e-piano": _chosen("keys=ep"),
    "chords: guitar": _chosen("keys=guitar"),
    "chords: organ": _chosen("keys=organ"),
    "lead: vibraphone": _chosen("lead=vibes"),
    "lead: bells": _chosen("lead=bell"),
    "lead: flute": _chosen("lead=flute"),
    "lead: saxophone": _chosen("lead=reed"),
    "lead: synth": _chosen("lead=lead"),
    "pad below": _chosen("pad=pad"),
    "strings below": _chosen("pad=strings"),
    "double bass": _chosen("bass=upright"),
    "no drums": _chosen("kit=none"),
    "brushes": _chosen("kit=brush"),
    "minor, always": _chosen("minor"),
    "major": Feature("minor", -1),
    "slower": Feature("tempo", -1),
    "faster": Feature("tempo", 1),
    "fewer notes": Feature("notes", -1),
    "more notes": Feature("notes", 1),
    "darker": Feature("brightness", -1),
    "brighter": Feature("brightness", 1),
    "wider room": Feature("room", 1),
    "drier": Feature("room", -1),
    "more noise": Feature("floor", 1),
    "less noise": Feature("floor", -1),
    "surf": Feature("surf", 1),
    "unsteady pitch": Feature("detune", 1),
    "fewer bits": Feature("bits", -1),
    "more swing": Feature("swing", 1),
    "jazz chords": Feature("jazz chords", 1),
    "softer lead": Feature("lead level", -1),
    "louder bass": Feature("bass level", 1),
    "harder drums": Feature("drum velocity", 1),
    "softer drums": Feature("drum velocity", -1),
}


@dataclass(frozen=True, slots=True)
class Promise:
    """A word, and the feature that the help says it moves."""

    word: str
    feature: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """A promise as measured over the seeds."""

    promise: Promise
    before: float
    after: float
    kept: float
    """Share of the seeds for which it moved the right way; of `always`, that ended there."""
    beyond: float
    """Mean movement over the spread from seed to seed without the word."""

    @property
    def ok(self) -> bool:
        if FEATURES[self.promise.feature].always:
            return self.kept == 1 and self.after == 1
        return self.kept >= 7 / 8 and self.beyond > 1

    @property
    def shifts(self) -> bool:
        """True if it is kept by more than the spread; what is certain may be so anyway."""
        return self.ok and self.beyond > 1


def promises() -> list[Promise]:
    """Returns what the help promises, in its order.

    Raises:
        ValueError: the help has no such list, or a line of it cannot be read.
    """
    text = HELP.read_text(encoding="utf-8")
    block = re.search(r"\*lofi-words\*\n(.*?)\n(?:==|\n\S)", text, re.DOTALL)
    if block is None:
        raise ValueError("the help lists no words")
    found: list[Promise] = []
    feature = ""
    for line in block.group(1).splitlines():
        row = re.fullmatch(r"    (\S.*?)  +(\S.*)| {8,}(\S.*)", line)
        if row is None:
            continue
        feature = row.group(1) or feature
        words = (row.group(2) or row.group(3)).split(",")
        found += [Promise(word.strip(), feature) for word in words if word.strip()]
    return found


def _floor_db(sound: Sound, low_hz: float, high_hz: float) -> float:
    """The quiet moments: the level that is always there."""
    band = filtered(sound.mono, sound.rate, Response(low_hz, high_hz))
    size = sound.rate // 40
    frames = band[: len(band) // size * size].reshape(-1, size)
    return float(np.percentile(20 * np.log10(np.sqrt(np.mean(frames**2, axis=1)) + 1e-7), 8))


def _detune_cents(sound: Sound) -> float:
    """How far spectral peaks wander from the tempered pitches."""
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
    """The highest floor of any second: a wave lifts it, where hats and notes leave gaps."""
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
    "tempo": lambda prompt, seed: score(prompt=prompt, seed=seed).settings.grid_bpm,
    "swing": lambda prompt, seed: swing_of(score(prompt=prompt, seed=seed).settings).sixteenth,
    "bits": lambda prompt, seed: float(score(prompt=prompt, seed=seed).settings.bits),
    "jazz chords": _jazz_bars,
    "lead level": lambda prompt, seed: _level(prompt, seed, "lead"),
    "bass level": lambda prompt, seed: _level(prompt, seed, "bass"),
    "drum velocity": _drum_velocity,
}
"""Figures taken from the score. That a track keeps its tempo is heard in the other soak."""


@lru_cache(maxsize=4096)
def written(figure: str, prompt: str, seed: int) -> float:
    """Returns a figure of the score, or 1 or 0 for a choice such as `keys=piano`."""
    if figure in WRITTEN:
        return WRITTEN[figure](prompt, seed)
    role, value = figure.split("=")
    settings = score(prompt=prompt, seed=seed).settings
    has = settings.style.name if role == "style" else getattr(settings, role)
    return float(has == value)


def seeds_of(feature: Feature) -> range:
    """Returns the seeds over which a feature is measured: many where it costs little."""
    if feature.figure in HEARD:
        return HEARD_SEEDS
    choice = "=" in feature.figure or feature.figure in ("minor", "tempo")
    return CHOSEN_SEEDS if choice else WRITTEN_SEEDS


def judged(promise: Promise, before: Sequence[float], after: Sequence[float]) -> Outcome:
    """Returns the outcome of a figure without and with the word, seed by seed."""
    feature = FEATURES[promise.feature]
    moved = feature.way * (np.asarray(after) - np.asarray(before))
    if feature.figure == "minor" or feature.always:
        # A seed that was there already cannot move: count where it ends up.
        kept = float(np.mean(np.asarray(after) == (1.0 if feature.way > 0 else 0.0)))
    else:
        kept = float(np.mean(moved > 0))
    spread, shift = float(np.std(before)), float(np.mean(moved))
    beyond = min(CERTAIN, shift / spread) if spread > 0 else CERTAIN * float(np.sign(shift))
    return Outcome(promise, float(np.mean(before)), float(np.mean(after)), kept, beyond)


class Survey:
    """Measures promises; renders what must be heard, once a word."""

    def __init__(self) -> None:
        self._base: dict[str, list[float]] = {}

    def outcomes(self, asked: Sequence[Promise]) -> Iterator[Outcome]:
        """Yields every promise as measured, word by word."""
        for word in dict.fromkeys(promise.word for promise in asked):
            prompt = f"{BASE} {word}"
            figures: dict[str, list[float]] = {}
            mine = [promise for promise in asked if promise.word == word]
            wanted = {FEATURES[promise.feature].figure for promise in mine} & HEARD.keys()
            if wanted:
                figures = self._heard(prompt, wanted)
            if wanted - self._base.keys():
                self._base = self._heard(BASE, set(HEARD))
            for promise in mine:
                feature = FEATURES[promise.feature]
                if feature.figure in HEARD:
                    before, after = self._base[feature.figure], figures[feature.figure]
                else:
                    seeds = seeds_of(feature)
                    before = [written(feature.figure, BASE, seed) for seed in seeds]
                    after = [written(feature.figure, prompt, seed) for seed in seeds]
                yield judged(promise, before, after)

    def _heard(self, prompt: str, figures: set[str]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {figure: [] for figure in figures}
        for seed in HEARD_SEEDS:
            track = render(prompt=prompt, seed=seed, duration_sec=SECONDS)
            for figure in figures:
                found[figure].append(HEARD[figure](track))
        return found
