"""Which chord sounds when: progressions for each section, substitutions, the cadence."""

from __future__ import annotations

from dataclasses import dataclass

from lofi.backends.procedural.form import PHRASE_BARS, Form, Section
from lofi.backends.procedural.progressions import (
    CADENCES,
    DOMINANTS,
    FINALS,
    HOME_MINOR,
    PROGRESSIONS,
    QUALITIES,
    RELATIVES,
    TURNAROUNDS,
)
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import Settings

JAZZ_IN_CONTRASTS, JAZZ_EVERYWHERE = 0.2, 0.4


@dataclass(frozen=True, slots=True)
class Chord:
    """A root (pitch class) and a quality."""

    root: int
    quality: str

    @property
    def colours(self) -> tuple[int, ...]:
        """Pitch classes of the four upper voices, in the quality's order."""
        return tuple((self.root + tone) % 12 for tone in QUALITIES[self.quality])

    @property
    def tones(self) -> frozenset[int]:
        """All pitch classes, the root included."""
        return frozenset((self.root, *self.colours))

    @property
    def fifth(self) -> int:
        """Semitones from the root to the fifth a bass may play."""
        return 6 if self.quality in ("m7b5", "dim7") else 7


@dataclass(frozen=True, slots=True)
class Slot:
    """A chord and the beats of its bar it fills."""

    beat: float
    beats: float
    chord: Chord


@dataclass(frozen=True, slots=True)
class Harmony:
    """The chords of every bar, and the one that ends the track."""

    bars: tuple[tuple[Slot, ...], ...]
    final: Chord


def compose(settings: Settings, form: Form) -> Harmony:
    """Returns all chords of a track."""
    choice = _Choice(settings)
    bars: list[tuple[Slot, ...]] = []
    for section in form.sections:
        texts = _section_bars(settings, choice.progression(section), section)
        if section.letter == "O":
            texts = [texts[0] for _ in texts]  # the way out stays at home
        if section.last and form.final and section.bars > 1:
            texts[-1] = Draws(settings.seed, "cadence").pick(choice.cadences())
        bars += [_slots(text, settings.key.tonic, form.bar_beats) for text in texts]
    quality = Draws(settings.seed, "final").pick(choice.finals())
    return Harmony(tuple(bars), Chord(settings.key.tonic, quality))


class _Choice:
    """Gives each section's material its progression and remembers it."""

    def __init__(self, settings: Settings) -> None:
        mode = self._minor = settings.key.minor
        self._draws = Draws(settings.seed, "harmony")
        own, jazz = PROGRESSIONS[(settings.style.name, mode)], PROGRESSIONS[("jazz", mode)]
        if settings.home:
            own, jazz = HOME_MINOR[settings.style.name], HOME_MINOR["jazz"]
        self._home = settings.home
        self._pool = jazz if settings.jazz >= JAZZ_IN_CONTRASTS else own
        # The ear must learn where home is: the first progression starts there.
        first = jazz if settings.jazz >= JAZZ_EVERYWHERE else own
        home = self._draws.pick([text for text in first if text.startswith("0:")])
        self._known = {"A": home}
        # Half of the ambient tracks hold each chord for two bars.
        self._hold = settings.style.name == "ambient" and self._draws.chance(0.5)

    def cadences(self) -> tuple[str, ...]:
        """Returns the ways to end: a tune that leans to its relative major needs its dominant,
        and so does one that must be plainly minor."""
        found = CADENCES[self._minor]
        return found[:2] if self._leans or self._home else found

    def finals(self) -> tuple[str, ...]:
        """Returns the qualities of the last chord; a leaning tune ends on the bare one."""
        return ("madd9",) if self._leans or self._home else FINALS[self._minor]

    @property
    def _leans(self) -> bool:
        roots = {chord.split(":")[0] for chord in self._known["A"].replace("|", " ").split()}
        return self._minor and {"3", "10"} <= roots

    def progression(self, section: Section) -> list[str]:
        """Returns the section's bars of chords, before any substitution."""
        material = section.material
        if material not in self._known:
            used = list(self._known.values())[-3:]
            fresh = [text for text in self._pool if text not in used and text != self._known["A"]]
            self._known[material] = self._draws.pick(fresh or self._pool)
        phrase = self._known[material].split("|")
        hold = 2 if self._hold else 1
        return [phrase[(bar // hold) % len(phrase)] for bar in range(section.bars)]


def _section_bars(settings: Settings, bars: list[str], section: Section) -> list[str]:
    """Returns the bars with the changes a second phrase and a returning section make."""
    if section.letter in "IO":
        return bars
    known = 0 if section.visit else PHRASE_BARS  # the first phrase is heard as it is written
    draws = Draws(settings.seed, f"substitute/{section.index}")
    changed = list(bars)
    for place, text in enumerate(bars):
        lean, swap = draws.chance(0.4), draws.chance(0.35)
        dominant = draws.pick(DOMINANTS[settings.key.minor])
        turned, turn = draws.chance(0.6), draws.pick(TURNAROUNDS[settings.key.minor])
        if place < known:
            continue
        if settings.style.name == "jazz" and place % 8 == 7 and turned:
            changed[place] = turn
            continue
        if " " in text:
            continue
        if place % 4 == 3 and lean and not text.startswith("0:"):
            changed[place] = f"{text} {dominant}"
        elif place % 8 == 5 and swap and text in RELATIVES:
            changed[place] = RELATIVES[text]
    return changed


def _slots(text: str, tonic: int, bar_beats: int) -> tuple[Slot, ...]:
    chords = []
    for written in text.split():
        offset, quality = written.split(":")
        chords.append(Chord((tonic + int(offset)) % 12, quality))
    share = bar_beats / len(chords)
    return tuple(Slot(place * share, share, chord) for place, chord in enumerate(chords))
