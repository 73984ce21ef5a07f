"""The plan of a track: sections, what plays in each, where the last chord rings.

Why it does not sound like a loop: an intro opens, sections contrast and return, a breakdown makes
room, a cadence closes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import Settings

CYCLES = ("AABAKCAB", "ABAKACBA", "AABKACAB")
SHORT_PLANS: dict[int, tuple[str, ...]] = {
    1: ("A",),
    2: ("AB", "AA"),
    3: ("ABA",),
    4: ("AABA", "ABKA", "ABCA"),
    5: ("AABKA", "ABACA", "AABCA"),
}
PHRASE_BARS = 4
DOOR_CHANCES = {"house": 0.8, "lofi": 0.5, "rain": 0.3}
"""How often a breakdown is heard through a door, as an intro is."""


@dataclass(frozen=True, slots=True)
class Section:
    """A run of bars that hold together."""

    index: int
    letter: str
    """A, B, C; K a breakdown; I intro, O outro (both with A's chords and motif)."""
    start_bar: int
    bars: int
    visit: int = 0
    """How often this letter was heard before."""
    turn: int = 0
    """Which time round the long cycle: B and C get new material each time."""
    drums: int = 0
    """0 none, 1 only hats or ride, 2 kick and backbeat too, 3 the same, in house with the clap."""
    drums_scale: float = 1.0
    lead: int = 0
    """0 none, 1 sparse, 2 full."""
    bass: bool = True
    pad: bool = True
    percussion: bool = False
    rim: bool = False
    arpeggio: bool = False
    door: bool = False
    """Heard through a door: muffled, opening towards the end."""
    guest: bool = False
    """The second lead sings instead of the first."""
    last: bool = False

    @property
    def material(self) -> str:
        """Which chords and motif it uses: the letter, renewed for B and C each turn."""
        if self.letter in "IOKA":
            return "A"
        return f"{self.letter}{self.turn}"


@dataclass(frozen=True, slots=True)
class Form:
    """All sections in order, and where the music ends."""

    sections: tuple[Section, ...]
    bar_beats: int
    """Beats of a bar; fewer than the meter's only when not one whole bar fits."""
    bars: int
    final: bool
    """True: a last chord starts on bar `bars` and rings."""

    @property
    def end_beat(self) -> int:
        """The beat on which the last chord starts, or the loop ends."""
        return self.bars * self.bar_beats


def plan(settings: Settings) -> Form:
    """Returns the form of a track; its length in bars follows from duration and tempo."""
    duration = settings.duration_sec
    ring = 0.0 if settings.loopable else min(3.5, max(1.0, 0.12 * duration))
    # A millisecond of grace: "exactly eight bars" asked for in seconds must not become seven.
    bars = int((duration - ring + 1e-3) // settings.bar_sec)
    beats = settings.bar_beats
    if bars < 1:
        beats = max(1, int((duration - ring) // settings.beat_sec))
        bars = 1
    sections = _sections(settings, bars)
    return Form(tuple(sections), beats, bars, final=not settings.loopable)


def _sections(settings: Settings, bars: int) -> list[Section]:
    draws = Draws(settings.seed, "form")
    if bars < PHRASE_BARS:
        return [Section(0, "A", 0, bars, drums=3, lead=2, last=True)]
    intro, outro = (0, 0)
    if settings.form == "song" and not settings.loopable:
        intro, outro = _margins(bars)
    sections: list[Section] = []
    if intro:
        sections.append(
            Section(
                0,
                "I",
                0,
                intro,
                drums=1 if intro == 4 else 0,
                drums_scale=0.8,
                lead=1 if draws.chance(0.4) else 0,
                bass=False,
                door=True,
            )
        )
    start = intro
    visits: dict[str, int] = {}
    for letter, turn, length in _middle(bars - intro - outro, draws):
        visit = visits.get(letter, 0)
        visits[letter] = visit + 1
        section = Section(len(sections), letter, start, length, visit=visit, turn=turn)
        sections.append(_playing(section, settings.style.name, draws))
        start += length
    if outro:
        sections.append(Section(len(sections), "O", start, outro, drums=1, lead=1, visit=1))
    sections[-1] = replace(sections[-1], last=True)
    return sections


def _margins(bars: int) -> tuple[int, int]:
    """Returns the bars of intro and outro, so that the rest divides by four if it can."""
    wanted = (1, 0) if bars < 8 else (2, 1) if bars < 24 else (4, 4)
    choices = [
        (
            (bars - i - o) % PHRASE_BARS != 0,
            abs(i - wanted[0]) + abs(o - wanted[1]),
            i == 0,
            i,
            (i, o),
        )
        for i in (0, 1, 2, 4)
        for o in (0, 1, 2, 4)
        if bars - i - o >= PHRASE_BARS
    ]
    return min(choices)[-1]


def _middle(bars: int, draws: Draws) -> list[tuple[str, int, int]]:
    """Returns (letter, turn, bars) of each section between intro and outro."""
    if bars <= 5 * PHRASE_BARS + 3:
        letters = draws.pick(SHORT_PLANS[bars // PHRASE_BARS])
        plan = [(letter, 0, PHRASE_BARS) for letter in letters]
        left = bars - PHRASE_BARS * len(plan)
    else:
        cycle = draws.pick(CYCLES)
        plan, left, place = [], bars, 0
        while left >= PHRASE_BARS:
            letter, turn = cycle[place % len(cycle)], place // len(cycle)
            length = 4 if letter == "K" or left < 8 else 8
            if letter == "K" and left < 12:
                letter = "A"  # never end on the breakdown, nor on one phrase after it
                length = 4 if left < 8 else 8
            plan.append((letter, turn, length))
            left -= length
            place += 1
    letter, turn, length = plan[-1]
    plan[-1] = (letter, turn, length + left)
    return plan


def _playing(section: Section, style: str, draws: Draws) -> Section:
    """Returns `section` with what plays in it."""
    first, odd = section.visit == 0, section.visit % 2 == 1
    if section.letter == "A":
        return replace(
            section,
            drums=2 if first else 3,
            lead=1 if first else 2,
            percussion=not first,
            pad=odd,
        )
    if section.letter == "B":
        return replace(section, drums=3, lead=2 if first else 1, percussion=not odd)
    arpeggio = draws.chance(0.4)
    section = replace(section, guest=True, arpeggio=arpeggio)
    if section.letter == "C":
        return replace(section, drums=2, rim=True, lead=2, percussion=True)
    door = draws.chance(DOOR_CHANCES.get(style, 0.0))
    return replace(section, drums=0, lead=2 if first else 1, bass=odd, door=door)
