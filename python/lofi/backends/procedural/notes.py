"""What the parts read and write: voiced bars in, notes in beats out, events in samples at last."""

from __future__ import annotations

from dataclasses import dataclass

from lofi.backends.procedural.harmony import Chord
from lofi.backends.procedural.voicing import Voicing

BUSES = ("keys", "lead", "pad", "bass", "drums")
DRUM_PARTS = ("kick", "snare", "hat")
"""Parts of the drums by their timing; all of them sound on the bus `drums`."""


@dataclass(frozen=True, slots=True)
class VoicedSlot:
    """A chord, its voicing, and where it sounds, in beats of the whole track."""

    beat: float
    beats: float
    chord: Chord
    voices: Voicing
    next_root: int
    """Pitch class of the root that follows."""

    @property
    def end(self) -> float:
        """The beat on which the next chord starts."""
        return self.beat + self.beats


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its chords."""

    index: int
    """Counted over the whole track."""
    place: int
    """Counted within the section."""
    beat: float
    beats: int
    slots: tuple[VoicedSlot, ...]

    def slot_at(self, beat: float) -> VoicedSlot:
        """Returns the chord that sounds `beat` beats into the bar."""
        for slot in reversed(self.slots):
            if slot.beat - self.beat <= beat + 1e-9:
                return slot
        return self.slots[0]


@dataclass(frozen=True, slots=True)
class Note:
    """One note as a part writes it: straight time, in beats."""

    beat: float
    beats: float
    part: str
    """keys, lead, pad, bass, kick, snare or hat: decides how late it plays."""
    instrument: str
    midi: int
    """For drums: which of the four variants of the hit."""
    velocity: float
    pan: float = 0.0
    release_sec: float = 0.0
    delay_sec: float = 0.0
    """Later than its beat by this much, as the voices of a strummed chord are."""

    @property
    def bus(self) -> str:
        """The bus it sounds on."""
        return "drums" if self.part in DRUM_PARTS else self.part


@dataclass(frozen=True, slots=True)
class Event:
    """One note as the renderer plays it."""

    start: int
    """Sample on which it starts."""
    bus: str
    instrument: str
    midi: int
    velocity: float
    length: int
    """Samples until it is released."""
    release_sec: float
    pan: float
    """-1 left … 1 right."""
