"""One sound a track is known by: a chord played backwards that leads into a new section.

Most tracks have none; where there is one it comes two or three times, never at random.
"""

from __future__ import annotations

from collections.abc import Sequence

from lofi.backends.procedural.form import Section
from lofi.backends.procedural.notes import Bar, Note
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import Settings

CHANCES = {"lofi": 0.45, "jazz": 0.0, "ambient": 0.35, "house": 0.45, "rain": 0.4}
LAST_BEATS = 2.0
VELOCITY = 0.5
PANS = (-0.5, 0.2, 0.5)


def is_wanted(settings: Settings) -> bool:
    """Returns whether this track has a reversed chord for its signature."""
    chance = CHANCES[settings.style.name]
    return Draws(settings.seed, "signature").chance(chance)


def play(section: Section, bars: Sequence[Bar], settings: Settings) -> list[Note]:
    """Returns the swell into the section that follows `section`."""
    turning = section.letter in "IK" or (section.letter in "BC" and section.visit == 0)
    if section.last or not turning or not is_wanted(settings):
        return []
    bar = bars[-1]
    slot = bar.slots[-1]
    beats = min(LAST_BEATS, float(bar.beats))
    return [
        Note(
            beat=bar.beat + bar.beats - beats,
            beats=beats,
            part="pad",
            instrument="swell",
            midi=midi,
            velocity=VELOCITY,
            pan=pan,
            release_sec=0.03,
        )
        for midi, pan in zip(slot.voices[1:], PANS, strict=True)
    ]
