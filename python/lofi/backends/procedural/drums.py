"""The drums: kick, backbeat, hats, brushes, ghost hits, fills and stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lofi.backends.procedural.form import PHRASE_BARS, Section
from lofi.backends.procedural.notes import Bar, Note
from lofi.backends.procedural.patterns import (
    BUSY_DENSITY,
    FILLS,
    HATS,
    KICKS,
    RIDES,
    RIDES_BUSY,
    RIDES_COMPOUND,
    SWEEPS,
)
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import Settings

VARIANTS = 4
HAT_PAN, PERCUSSION_PAN = 0.28, 0.4
GHOST_STEPS = (3, 7, 9, 11, 14, 15)
PERC_STEPS = (3, 6, 11, 14)
EXTRA_KICKS = (6, 9, 14)
PARTS = {"kick": "kick", "snare": "snare", "rim": "snare", "clap": "snare", "brush": "snare"}
PANS = {"hat": HAT_PAN, "open": HAT_PAN, "ride": HAT_PAN, "pedal": HAT_PAN}
PANS |= {"shaker": -PERCUSSION_PAN, "perc": PERCUSSION_PAN}
COMPING_STEPS = (2, 6, 10, 14)
"""Swung off-beats on which a jazz drummer answers the band."""
KICK_PATTERNS = 4
HITS_LAST_BEATS = 8.0
"""A hit rings out by itself; this only outlasts all of them."""


class Drummer:
    """Plays the kit of one track, section after section."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kit = settings.kit
        style = settings.style.name
        draws = Draws(settings.seed, "drums")
        kicks = KICKS[style] if style != "ambient" else KICKS["rain"]
        self._habits = _Habits(
            kicks=tuple(draws.shuffled(kicks)[:KICK_PATTERNS]),
            hats=draws.weighted(HATS),
            sweeps=draws.pick(SWEEPS),
        )

    def play(self, section: Section, bars: Sequence[Bar]) -> list[Note]:
        """Returns the hits of one section."""
        if self._kit == "none" or section.drums == 0:
            return []
        plan = _Plan(self._settings, section, self._habits)
        notes: list[Note] = []
        for bar in bars:
            hits = self._bar(section, bar, plan)
            if bar is bars[-1] and not section.last and section.letter != "I":
                hits = self._ending(section, bar, hits)
            notes += hits
        if section.index > 0 and section.drums >= 2 and section.letter in "AB":
            notes += self._arrival(section, bars[0])
        return notes

    def _arrival(self, section: Section, bar: Bar) -> list[Note]:
        """Returns the cymbal that says: here something begins. Not every time."""
        pen = _Pen(self._settings, bar, section.drums_scale, f"drums/arrival/{section.index}")
        if pen.draws.chance(0.6):
            cymbal = {"ride": "ride", "brush": "ride", "soft": "ride"}.get(self._kit, "open")
            pen.hit(cymbal, 0, 0.62 if cymbal == "ride" else 0.5)
        return pen.notes

    def _bar(self, section: Section, bar: Bar, plan: _Plan) -> list[Note]:
        settings = self._settings
        pen = _Pen(settings, bar, section.drums_scale, f"drums/bar/{bar.index}")
        if section.drums >= 2:
            self._kick(pen, bar, plan)
            self._backbeat(pen, bar, section, plan)
        kit = self._kit
        if kit == "ride":
            _ride(pen, plan, settings.density, full=section.drums >= 2)
        elif kit == "brush":
            _brush(pen, plan, settings.density, full=section.drums >= 2)
        elif kit == "house":
            # The first time round the open hats wait for the second phrase.
            late = section.drums == 2 and bar.place >= PHRASE_BARS
            _house_hats(pen, settings.density, opened=section.drums >= 3 or late)
        else:
            _hats(pen, plan, settings.density, 0.75 if kit == "soft" else 1.0)
        if section.percussion:
            self._percussion(pen, section, plan)
        return pen.notes

    def _kick(self, pen: _Pen, bar: Bar, plan: _Plan) -> None:
        steps = plan.kicks(bar, self._settings.meter, pen.draws)
        lean = 0.5 - self._settings.density
        level = self._settings.drums_level
        for step in steps:
            thin = step != 0 and self._kit != "house" and pen.draws.chance(max(0.0, 1.1 * lean))
            if not thin:
                pen.hit("kick", step, level * (0.95 if step == 0 else 0.8))
        if self._kit != "house":
            for step in EXTRA_KICKS:
                if step not in steps and pen.draws.chance(max(0.0, -0.7 * lean)):
                    pen.hit("kick", step, 0.6 * level)

    def _backbeat(self, pen: _Pen, bar: Bar, section: Section, plan: _Plan) -> None:
        steps = backbeat_steps(self._settings.meter, bar.index)
        level = self._settings.drums_level
        if self._kit == "house":
            if section.drums >= 3:
                for step in steps:
                    pen.hit("clap", step, 0.85 * level)
            return
        if self._kit == "ride":
            return
        if self._kit == "brush":
            for step in steps:
                pen.hit("brush", step, 0.62 * level)
            return
        voice = "rim" if plan.rim or self._kit == "rim" else "snare"
        for step in steps:
            pen.hit(voice, step, level * (0.62 if self._kit == "soft" else 0.85))
        lean = max(0.0, self._settings.density - 0.5)
        ghosts = 0.1 + 0.36 * plan.ghost * self._settings.density + 0.5 * lean
        for step in GHOST_STEPS:
            if pen.draws.chance(ghosts):
                pen.hit("snare", step, pen.draws.between(0.2, 0.3) + 0.2 * lean)

    def _percussion(self, pen: _Pen, section: Section, plan: _Plan) -> None:
        if self._kit in ("lofi", "rim", "soft"):
            for step in range(1, 16, 2):
                if pen.draws.chance(0.15 + 0.35 * self._settings.density):
                    pen.hit("shaker", step, 0.28)
        if self._kit == "house" or plan.rim:
            for step in PERC_STEPS:
                if pen.draws.chance(0.55):
                    pen.hit("perc", step, 0.3)

    def _ending(self, section: Section, bar: Bar, hits: list[Note]) -> list[Note]:
        """Returns the last bar of a section with a stop, a fill, or an open hat."""
        draws = Draws(self._settings.seed, f"fill/{section.index}")
        stop, fill, opens = draws.chance(0.35), draws.chance(0.65), draws.chance(0.5)
        steps = draws.pick(FILLS)
        last = bar.beat + bar.beats - 1
        if stop:
            return [note for note in hits if note.beat < last]
        pen = _Pen(self._settings, bar, section.drums_scale, f"drums/end/{bar.index}")
        shift = 16 - 4 * bar.beats
        if fill and section.drums >= 2:
            voice = {"brush": "brush", "ride": "snare", "house": "clap"}.get(self._kit, "snare")
            if self._kit == "soft":
                voice = "rim"
            for rank, step in enumerate(steps):
                if step - shift > 0:
                    pen.hit(voice, step - shift, 0.34 + 0.14 * rank)
        elif opens and self._kit in ("lofi", "rim", "soft", "house"):
            pen.hit("open", 14 - shift, 0.4)
        return hits + pen.notes


def backbeat_steps(meter: int, bar: int) -> tuple[int, ...]:
    """Returns the steps of a bar that carry the snare."""
    if meter == 2:
        return (4,)
    if meter == 3:
        return (8,) if bar % 2 == 0 else (4, 8)
    if meter == 6:
        return (6,)
    return (4, 12)


@dataclass(frozen=True, slots=True)
class _Habits:
    """What one drummer is fond of: it tells one track from the next."""

    kicks: tuple[tuple[int, ...], ...]
    hats: str
    sweeps: tuple[int, ...]


class _Plan:
    """What one section of drums keeps: its kick patterns, its ghosts, its hats."""

    def __init__(self, settings: Settings, section: Section, habits: _Habits) -> None:
        draws = Draws(settings.seed, f"drums/{section.index}")
        self._patterns = draws.shuffled(habits.kicks)[:3]
        # A, and what frames it, keep the track's own way; what contrasts may take another.
        strays = section.letter in "BC" and draws.chance(0.4)
        self.hats = draws.weighted(HATS) if strays else habits.hats
        self.sweeps = draws.pick(SWEEPS) if strays else habits.sweeps
        self.compound = settings.meter == 6
        """Six eighths are two beats of three: nothing may stress the quarters."""
        if self.compound:
            self.hats, self.sweeps = "eighths", (0, 6)
        self.backbeats = (6,) if self.compound else (4, 12)
        self.ghost = draws.unit()
        self.sixteenths = draws.chance(0.3 + 1.9 * (settings.density - 0.5))
        self.rim = draws.chance(0.35) or section.rim

    def kicks(self, bar: Bar, meter: int, draws: Draws) -> tuple[int, ...]:
        """Returns the kick's steps in one bar, fitted to the meter."""
        place = bar.place // 2
        if bar.place % PHRASE_BARS == PHRASE_BARS - 1:
            place += 2
        pattern = self._patterns[place % len(self._patterns)]
        if meter == 2:
            shift = 0 if bar.index % 2 == 0 else 8
            return tuple(step - shift for step in pattern if shift <= step < shift + 8)
        if meter == 3:
            more = len(pattern) > 1 and draws.chance(0.5)
            return (0, *((8,) if more else ()), *((10,) if draws.chance(0.2) else ()))
        if meter == 6:
            return (0, 10) if draws.chance(0.4) else (0,)
        return pattern


class _Pen:
    """Writes hits of one bar; steps past its end are left out."""

    def __init__(self, settings: Settings, bar: Bar, scale: float, label: str) -> None:
        self.draws = Draws(settings.seed, label)
        self.notes: list[Note] = []
        self.steps = 4 * bar.beats
        self._bar = bar
        self._scale = scale

    def hit(self, instrument: str, step: float, velocity: float) -> None:
        """Adds one hit on a step of the bar."""
        if step >= self.steps:
            return
        self.notes.append(
            Note(
                beat=self._bar.beat + step / 4,
                beats=HITS_LAST_BEATS,
                part=PARTS.get(instrument, "hat"),
                instrument=instrument,
                midi=self.draws.below(VARIANTS),
                velocity=velocity * self._scale,
                pan=PANS.get(instrument, 0.0),
            )
        )


def _hats(pen: _Pen, plan: _Plan, density: float, scale: float) -> None:
    lean = 0.5 - density
    fewer = max(0.0, 1.3 * lean)
    for step in range(0, pen.steps, 2):
        on = step % (6 if plan.compound else 4) == 0
        left_out, level = 0.05 + (0.0 if on else fewer), 0.44 if on else 0.34
        if plan.hats == "offbeats":
            left_out, level = (0.65, 0.24) if on else (0.05 + fewer, 0.44)
        elif plan.hats == "quarters" and not on:
            left_out = 0.75 + lean
        if not pen.draws.chance(left_out):
            pen.hit("hat", step, scale * level)
    wanted = 0.4 + 1.2 * max(0.0, -lean)
    if plan.sixteenths or plan.hats == "sixteenths":
        for step in range(1, pen.steps, 2):
            if pen.draws.chance(min(0.9, wanted - fewer)):
                pen.hit("hat", step, scale * (0.2 + 0.3 * max(0.0, -lean)))


def _ride(pen: _Pen, plan: _Plan, density: float, *, full: bool) -> None:
    rides = RIDES_BUSY if density >= BUSY_DENSITY else RIDES
    for step in pen.draws.weighted(RIDES_COMPOUND if plan.compound else rides):
        on = step % (6 if plan.compound else 4) == 0
        level = 0.52 if step in plan.backbeats else 0.42 if on else 0.32
        pen.hit("ride", step, level * pen.draws.between(0.9, 1.1))
    lean = max(0.0, density - 0.5)
    for step in plan.backbeats:
        if not pen.draws.chance(0.08):
            pen.hit("pedal", step, 0.38)
    if full:
        for step in COMPING_STEPS:
            if pen.draws.chance(0.05 + 0.26 * density + 0.7 * lean):
                pen.hit("snare", step, pen.draws.between(0.14, 0.28) + 0.3 * lean)


def _brush(pen: _Pen, plan: _Plan, density: float, *, full: bool) -> None:
    for step in plan.sweeps:
        pen.hit("sweep", step, (0.55 if step % 8 == 0 else 0.2) * pen.draws.between(0.85, 1.15))
    for step in range(0, pen.steps, 6 if plan.compound else 4):
        if not pen.draws.chance(0.1):
            pen.hit("hat", step, 0.5 if step % 8 == 0 else 0.36)
    for step in plan.backbeats:
        pen.hit("pedal", step, 0.4)
    lean = max(0.0, density - 0.5)
    if full:
        for step in (2, 7, 11, 15):
            if pen.draws.chance(0.02 + 0.4 * density + lean):
                pen.hit("brush", step, 0.22 + 0.6 * lean)
        if pen.draws.chance(0.2):
            pen.hit("brush", pen.draws.pick((6, 10, 14)), 0.34)
        for step in (6, 10, 14) if density >= BUSY_DENSITY else ():
            if pen.draws.chance(0.6):
                pen.hit("brush", step, 0.4)


def _house_hats(pen: _Pen, density: float, *, opened: bool) -> None:
    lean = density - 0.5
    if opened:
        for step in (2, 6, 10, 14):
            pen.hit("open", step, 0.42)
    for step in range(pen.steps):
        if pen.draws.chance(0.25 + 0.45 * density + 0.8 * max(0.0, lean)):
            voice, level = ("hat", 0.26) if step % 2 == 0 else ("shaker", 0.18)
            pen.hit(voice, step, level + 0.5 * max(0.0, lean))
