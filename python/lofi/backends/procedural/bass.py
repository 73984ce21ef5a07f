"""The bass line: roots, fifths, octaves, and notes that lead to the next root."""

from __future__ import annotations

from collections.abc import Sequence

from lofi.backends.procedural.form import PHRASE_BARS, Section
from lofi.backends.procedural.notes import Bar, Note, VoicedSlot
from lofi.backends.procedural.patterns import (
    BASS,
    BASS_BUSY,
    BUSY_DENSITY,
    TWO_FEEL,
    WALK_COMPOUND,
    WALKING,
    BassHit,
)
from lofi.backends.procedural.progressions import QUALITIES
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import DRIVEN, Settings

LOWEST, HIGHEST = 28, 53
ROOT_LOWEST, ROOT_HIGHEST = 31, 42
RELEASE_SEC = 0.05
PATTERNS = 3


class Bassist:
    """Plays section after section and remembers where the hand was."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._root = 36
        self._patterns = Draws(settings.seed, "bass").shuffled(_repertoire(settings))[:PATTERNS]
        """The few this track's player is fond of."""

    def play(self, section: Section, bars: Sequence[Bar]) -> list[Note]:
        """Returns the bass notes of one section."""
        if not section.bass or self._settings.bass == "none":
            return []
        settings = self._settings
        jazz = settings.style.name == "jazz"
        patterns = Draws(settings.seed, f"bass/{section.index}").shuffled(self._patterns)
        notes: list[Note] = []
        for bar in bars:
            draws = Draws(settings.seed, f"bass/bar/{bar.index}")
            place = bar.place // 2
            if bar.place % PHRASE_BARS == PHRASE_BARS - 1:
                place += 2
            pattern = patterns[place % len(patterns)]
            if len(bar.slots) == 1:
                notes += self._bar(bar.slots[0], bar, pattern, draws)
                continue
            for slot in bar.slots:
                share = slot.beats
                split: tuple[BassHit, ...] = (("R", 0, 0.9 * share),)
                if jazz and share >= 2 and settings.drive > -DRIVEN:
                    split = (("R", 0, 0.95), ("a", 1, 0.9))
                notes += self._bar(slot, bar, split, draws)
        return notes

    def _bar(
        self, slot: VoicedSlot, bar: Bar, pattern: Sequence[BassHit], draws: Draws
    ) -> list[Note]:
        root = near(slot.chord.root, self._root)
        self._root = root
        notes = []
        for tone, start, length in pattern:
            beat = slot.beat + start
            if beat >= slot.end - 1e-9:
                continue
            notes.append(
                Note(
                    beat=beat,
                    beats=min(length, slot.end - beat),
                    part="bass",
                    instrument=self._settings.bass,
                    midi=self._pitch(tone, root, slot, draws),
                    velocity=0.78 if beat == bar.beat else 0.66,
                    release_sec=RELEASE_SEC,
                )
            )
        return notes

    def _pitch(self, tone: str, root: int, slot: VoicedSlot, draws: Draws) -> int:
        if tone == "a":
            target = near(slot.next_root, root)
            below = -1 if self._settings.style.name == "jazz" else -2
            return _held(target + draws.pick((-1, 1, below, slot.chord.fifth)))
        third = 3 if QUALITIES[slot.chord.quality][0] == 3 else 4
        steps = {"R": 0, "8": 12, "5": slot.chord.fifth, "3": third, "6": 9, "2": 2}
        return _held(root + steps[tone])


def _repertoire(settings: Settings) -> tuple[tuple[BassHit, ...], ...]:
    """Returns the patterns a track's bass may be fond of: its style's, as lively as asked."""
    style = settings.style.name
    if style == "jazz":
        if settings.meter == 6:
            return WALK_COMPOUND
        if settings.drive >= DRIVEN or settings.density >= BUSY_DENSITY:
            return WALKING
        if settings.drive <= -DRIVEN:
            return TWO_FEEL
    elif settings.density >= BUSY_DENSITY:
        return BASS_BUSY[style]
    return BASS[style]


def near(pitch_class: int, last: int) -> int:
    """Returns the root of a pitch class within the bass's range that is nearest to `last`."""
    choices = [midi for midi in range(ROOT_LOWEST, ROOT_HIGHEST + 1) if midi % 12 == pitch_class]
    return min(choices, key=lambda midi: (abs(midi - last), midi))


def _held(midi: int) -> int:
    while midi > HIGHEST:
        midi -= 12
    while midi < LOWEST:
        midi += 12
    return midi
