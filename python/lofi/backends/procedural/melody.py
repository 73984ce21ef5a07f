"""The tune: motifs of two bars, phrased in fours, varied on return, at peace with the chords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lofi.backends.procedural.form import PHRASE_BARS, Section
from lofi.backends.procedural.notes import Bar, Note
from lofi.backends.procedural.patterns import (
    BUSY_DENSITY,
    BUSY_PLANS,
    CELLS,
    PLANS,
    SECOND_BARS,
    WALK,
)
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import Settings
from lofi.backends.procedural.styles import LEAD_PAN

REGISTERS = {
    "vibes": 73,
    "bell": 77,
    "ep": 71,
    "piano": 73,
    "guitar": 69,
    "lead": 72,
    "flute": 75,
    "reed": 67,
}
RELEASES = {
    "ep": 0.12,
    "piano": 0.25,
    "guitar": 0.22,
    "vibes": 0.5,
    "bell": 0.8,
    "lead": 0.12,
    "flute": 0.1,
    "reed": 0.1,
}
BELOW, ABOVE = 8, 9
BRIGHT_SEMITONES = 4.0
"""How much higher a lead plays for each octave of brightness asked for."""
SCALES = {False: (0, 2, 4, 5, 7, 9, 11), True: (0, 2, 3, 5, 7, 8, 10)}
PENTATONICS = {False: (0, 2, 4, 7, 9), True: (0, 3, 5, 7, 10)}
LENGTHS = (0.45, 0.9, 1.4, 2.2)
STRONG = {2: (0.0,), 3: (0.0,), 4: (0.0, 2.0), 6: (0.0, 1.5)}
"""Beats of the bar on which the ear wants a chord tone, by time signature."""
RISE = 0.5
"""How far a hopeful or a sad word bends the steps of a line."""
LEAST_BEATS = 0.25
"""No note is cut shorter, and no overlap shorter than this is heard as a clash."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One note of a motif: when, how far up the scale, how long, how loud."""

    beat: float
    degree: int
    beats: float
    velocity: float


Motif = tuple[tuple[Cell, ...], tuple[Cell, ...]]
"""The notes of its first and its second bar."""


class Melodist:
    """Plays the lead of one track; keeps a motif for each section's material."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        draws = Draws(settings.seed, "lead")
        scales = PENTATONICS if draws.chance(0.6) else SCALES
        self._pitches = {(settings.key.tonic + step) % 12 for step in scales[settings.key.minor]}
        self._motifs: dict[str, Motif] = {}
        self._take(settings.lead)

    def _take(self, instrument: str) -> None:
        """Takes an instrument in hand: its register, and the scale within it."""
        self._instrument = instrument
        lift = round(BRIGHT_SEMITONES * self._settings.bright)
        register = self._register = REGISTERS[instrument] + lift
        self._ladder = [
            midi
            for midi in range(register - BELOW, register + ABOVE + 1)
            if midi % 12 in self._pitches
        ]

    def play(self, section: Section, bars: Sequence[Bar]) -> list[Note]:
        """Returns the lead's notes of one section."""
        if section.lead == 0:
            return []
        self._take(self._settings.guest if section.guest else self._settings.lead)
        draws = Draws(self._settings.seed, f"lead/{section.index}")
        motif = self._motif(section.material)
        lift = draws.pick((0, 0, 1, -1, 2)) if section.visit else 0
        notes: list[Note] = []
        for start in range(0, len(bars), PHRASE_BARS):
            phrase = bars[start : start + PHRASE_BARS]
            second = (start // PHRASE_BARS) % 2 == 1
            notes += self._phrase(section, phrase, motif, lift, draws, second=second)
        return [_yielding(note, bars) for note in notes]

    def final(self, beat: float, pitch_classes: frozenset[int]) -> Note:
        """Returns the last note of the track: one of the tonic triad, left to ring."""
        self._take(self._settings.lead)
        target = min(
            (
                midi
                for midi in range(self._register - BELOW, self._register + ABOVE)
                if midi % 12 in pitch_classes
            ),
            key=lambda midi: (abs(midi - self._register), midi),
        )
        return self._note(beat, 6.0, target, 0.6)

    def _motif(self, material: str) -> Motif:
        if material not in self._motifs:
            draws = Draws(self._settings.seed, f"motif/{material}")
            first = draws.pick(CELLS)
            second = draws.pick((first, draws.pick(CELLS), *SECOND_BARS))
            degree = draws.pick((0, 0, 1, 2, -1))
            walk = _walk(self._settings.rise)
            bars: list[tuple[Cell, ...]] = []
            for onsets in (first, second):
                cells = []
                for onset in onsets:
                    length = draws.pick(LENGTHS)
                    cells.append(Cell(onset, degree, length, draws.between(0.55, 0.85)))
                    degree = min(5, max(-4, degree + draws.weighted(walk)))
                bars.append(tuple(cells))
            self._motifs[material] = (bars[0], bars[1])
        return self._motifs[material]

    def _phrase(
        self,
        section: Section,
        bars: Sequence[Bar],
        motif: Motif,
        lift: int,
        draws: Draws,
        *,
        second: bool,
    ) -> list[Note]:
        sparse = section.lead == 1
        plan = _plan(self._settings.density, draws, tail_only=sparse and second)
        loudness = 0.9 if sparse else 1.0
        falls = 0.22 if second else 0.0
        drops = 0.06 + max(0.0, 0.6 * (0.5 - self._settings.density))
        notes: list[Note] = []
        for place, word in enumerate(plan[: len(bars)]):
            if word == "rest":
                continue
            form = _shaped(motif, word, section.visit, draws)
            for ahead, cells in enumerate(form):
                resting = ahead == 0 or (place + 1 < len(plan) and plan[place + 1] == "rest")
                if place + ahead >= len(bars) or not resting:
                    continue
                kept = [cell for cell in cells if not draws.chance(drops + falls)]
                if not kept and ahead == 0 and cells:
                    kept = [cells[0]]
                notes += self._bar(bars[place + ahead], kept, lift, loudness, draws)
        return notes

    def _bar(
        self, bar: Bar, cells: Sequence[Cell], lift: int, loudness: float, draws: Draws
    ) -> list[Note]:
        notes = []
        cells = sorted((cell for cell in cells if cell.beat < bar.beats), key=lambda c: c.beat)
        ends = [*(cell.beat for cell in cells[1:]), float(bar.beats) + 1.0]
        for place, cell in enumerate(cells):
            after = ends[place]
            # A lead is one voice: a note ends where the next begins.
            beats = min(cell.beats, max(0.2, after - cell.beat))
            midi = self._pitch(bar, cell, cell.degree + lift, beats)
            velocity = cell.velocity * loudness
            beat = bar.beat + cell.beat
            graced = draws.chance(0.07)
            if graced and midi != self._ladder[0] and beat > 0.2:
                below = (
                    max(rung for rung in self._ladder if rung < midi)
                    if (midi > self._ladder[0])
                    else midi
                )
                notes.append(self._note(beat - 0.12, 0.12, below, velocity * 0.6))
            notes.append(self._note(beat, beats, midi, velocity))
        return notes

    def _pitch(self, bar: Bar, cell: Cell, degree: int, beats: float) -> int:
        slot = bar.slot_at(cell.beat)
        tones = slot.chord.tones
        ladder = self._ladder
        home = min(range(len(ladder)), key=lambda rung: (abs(ladder[rung] - self._register), rung))
        rung = _reflected(home + degree, len(ladder))
        midi = ladder[rung]
        strong = cell.beat in STRONG[self._settings.meter] or beats > 1.0
        clash = beats > 0.5 and (midi - 1) % 12 in tones and midi % 12 not in tones
        if (strong or clash) and midi % 12 not in tones:
            low, high = self._register - BELOW, self._register + ABOVE
            choices = [tone for tone in range(low, high + 1) if tone % 12 in tones]
            # A chord's own semitone clash (major seventh against the root) is no place to rest.
            calm = [tone for tone in choices if (tone - 1) % 12 not in tones] or choices
            midi = min(calm, key=lambda tone: (abs(tone - midi), tone))
        return midi

    def _note(self, beat: float, beats: float, midi: int, velocity: float) -> Note:
        return Note(
            beat=beat,
            beats=beats,
            part="lead",
            instrument=self._instrument,
            midi=midi,
            velocity=velocity,
            pan=LEAD_PAN,
            release_sec=RELEASES[self._instrument],
        )


def _walk(rise: float) -> dict[int, float]:
    """Returns the steps from note to note: a hopeful line climbs more than it falls."""
    return {
        step: weight * (1 + rise * RISE) if step > 0 else weight * (1 - rise * RISE)
        for step, weight in WALK.items()
    }


def _yielding(note: Note, bars: Sequence[Bar]) -> Note:
    """Ends a note where a chord begins that it would rub against, a semitone above one of it."""
    for bar in bars:
        for slot in bar.slots:
            inside = note.beat + LEAST_BEATS < slot.beat < note.beat + note.beats - LEAST_BEATS
            tones = slot.chord.tones
            if inside and note.midi % 12 not in tones and (note.midi - 1) % 12 in tones:
                return replace(note, beats=slot.beat - note.beat)
    return note


def _plan(density: float, draws: Draws, *, tail_only: bool) -> tuple[str, ...]:
    if tail_only:
        return ("rest", "rest", "rest", "tail")
    if density >= BUSY_DENSITY:
        return draws.pick(BUSY_PLANS)
    plan = draws.pick(PLANS)
    if draws.chance(max(0.0, 0.9 * (0.5 - density))):
        return ("rest", "rest", "rest", "tail") if draws.chance(0.5) else PLANS[1]
    return plan


def _shaped(motif: Motif, word: str, visit: int, draws: Draws) -> Motif:
    """Returns the motif as one word of the phrase plan wants it."""
    first, second = motif
    if word == "tail":
        count = draws.pick((2, 3))
        return tuple(replace(cell, beats=cell.beats * 1.6) for cell in first[:count]), ()
    if word == "inverted":
        return _mirrored(first), _mirrored(second)
    if word == "sequence":
        return _moved(first, -2), _moved(second, -2)
    if word == "varied":
        half = len(first) // 2
        late = 0.5 if visit >= 2 else 0.0
        end = tuple(
            replace(cell, degree=cell.degree + 1, beat=cell.beat + late) for cell in first[half:]
        )
        return first[:half] + end, second
    return motif


def _mirrored(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    return tuple(replace(cell, degree=-cell.degree) for cell in cells)


def _moved(cells: Sequence[Cell], steps: int) -> tuple[Cell, ...]:
    return tuple(replace(cell, degree=cell.degree + steps) for cell in cells)


def _reflected(rung: int, count: int) -> int:
    """Returns a rung folded back into 0..count-1 at the ladder's ends."""
    while not 0 <= rung < count:
        rung = -rung if rung < 0 else 2 * (count - 1) - rung
    return rung
