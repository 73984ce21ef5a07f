"""Time as people play it: swing, each part's own lateness, small wandering.

Quantised timing everywhere sounds like a machine, and jitter on everything equally like a drunk:
lags are systematic, jitter is small.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lofi.backends.procedural.notes import DRUM_PARTS, Event, Note
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import SAMPLE_RATE, Settings

DRUM_JITTER_SEC = 0.003
NOTE_JITTER_SEC = {"keys": 0.005, "lead": 0.008, "bass": 0.004, "pad": 0.0}
KICK_ON_ONE_SEC = 0.004
BUSY_BPM = 100.0


@dataclass(frozen=True, slots=True)
class Swing:
    """Where in-between notes fall: the off-beat eighth in the beat, the off sixteenth in a half."""

    eighth: float = 0.5
    sixteenth: float = 0.5

    def place(self, beat: float) -> float:
        """Returns where a straight beat position is played, in beats."""
        whole = math.floor(beat + 1e-9)
        part = beat - whole
        if part < 0.5:
            return whole + self.eighth * self._half(part * 2)
        return whole + self.eighth + (1 - self.eighth) * self._half(part * 2 - 1)

    def _half(self, part: float) -> float:
        if part < 0.5:
            return self.sixteenth * part * 2
        return self.sixteenth + (1 - self.sixteenth) * (part * 2 - 1)


def swing_of(settings: Settings) -> Swing:
    """Returns the swing of a style at its setting and tempo."""
    amount, name = settings.swing, settings.style.name
    if settings.meter == 6:
        return Swing(0.5, 0.5 + amount / 10)
    if name == "ambient":
        return Swing()
    if name == "house":
        return Swing(0.5, 0.5 + amount / 8)
    if name == "jazz":
        eighth, sixteenth = 0.5 + 0.28 * amount, 0.5
    else:
        eighth, sixteenth = 0.5 + amount / 14, 0.5 + amount / 6
    if settings.grid_bpm > BUSY_BPM:
        eighth = 0.5 + 0.75 * (eighth - 0.5)
    return Swing(eighth, sixteenth)


def perform(notes: Sequence[Note], settings: Settings, section: int) -> list[Event]:
    """Returns the notes of one section as events in samples, in the order they start."""
    swing = swing_of(settings)
    human: dict[str, Draws] = {}
    touch: dict[tuple[str, float], float] = {}
    events = []
    for note in notes:
        draws = human.get(note.part)
        if draws is None:
            draws = human[note.part] = Draws(settings.seed, f"human/{note.part}/{section}")
        at = (note.part, note.beat)
        if at not in touch:  # the notes of one chord are struck by one hand
            touch[at] = _jitter(note, settings, draws)
        seconds = (
            swing.place(note.beat) * settings.beat_sec
            + settings.style.lag_ms[note.part] / 1000
            + touch[at]
            + note.delay_sec
        )
        end = swing.place(note.beat + note.beats) * settings.beat_sec
        length = max(0.03, end - swing.place(note.beat) * settings.beat_sec)
        velocity = note.velocity * (1 + draws.between(-0.075, 0.075))
        events.append(
            Event(
                start=max(0, round(seconds * SAMPLE_RATE)),
                bus=note.bus,
                instrument=note.instrument,
                midi=note.midi,
                velocity=min(1.0, max(0.02, velocity)),
                length=round(length * SAMPLE_RATE),
                release_sec=note.release_sec,
                pan=note.pan,
            )
        )
    return sorted(events, key=lambda event: (event.start, event.bus, event.instrument, event.midi))


def _jitter(note: Note, settings: Settings, draws: Draws) -> float:
    sigma = DRUM_JITTER_SEC if note.part in DRUM_PARTS else NOTE_JITTER_SEC[note.part]
    jitter = sigma * settings.style.jitter * draws.gauss()
    if note.part == "kick" and note.beat % settings.bar_beats == 0:
        return min(KICK_ON_ONE_SEC, max(-KICK_ON_ONE_SEC, jitter))
    return jitter
