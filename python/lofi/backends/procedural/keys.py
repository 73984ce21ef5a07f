"""The chords: comping patterns, strums and arpeggios; and the pad below them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lofi.backends.procedural.form import PHRASE_BARS, Section
from lofi.backends.procedural.notes import Bar, Note, VoicedSlot
from lofi.backends.procedural.patterns import KEYS, Hit
from lofi.backends.procedural.randomness import Draws
from lofi.backends.procedural.settings import HELD, Settings

RELEASES = {
    "ep": 0.18,
    "piano": 0.30,
    "guitar": 0.22,
    "stab": 0.10,
    "organ": 0.10,
    "pad": 0.9,
    "strings": 0.9,
}
STRUM_SEC = {"ep": (0.008, 0.022), "piano": (0.008, 0.022), "guitar": (0.014, 0.030)}
PANS = (-0.42, 0.22, -0.08, 0.42)
PAD_PANS = (-0.6, 0.5, 0.0, 0.2)
PAD_RELEASE_SEC = 1.1
FEWEST_PATTERNS = 3
ACCENTS = {3: 6, 6: 3}
ARPEGGIOS = ((0, 2, 1, 3, 2, 1), (0, 1, 2, 3, 2, 1))
EARLY_CHANCE = {"lofi": 0.14, "jazz": 0.22, "rain": 0.08}
"""How often a bar's first chord comes half a beat early."""
TWO_CHORD_PATTERNS = (((0.0, 0.92, 0.72),), ((0.0, 0.9, 0.7), (0.75, 0.4, 0.5)))


@dataclass(frozen=True, slots=True)
class _Hand:
    """What stays the same over one section."""

    instrument: str
    scale: float
    with_root: bool
    density: float
    accent: int
    """Eighths from one stressed one of an arpeggio to the next."""


def play(section: Section, bars: Sequence[Bar], settings: Settings) -> list[Note]:
    """Returns the keys' notes of one section."""
    draws = Draws(settings.seed, f"comp/{section.index}")
    instrument = settings.keys
    hand = _Hand(
        instrument=instrument,
        scale=0.89 if section.letter in "IO" else 1.0,
        with_root=instrument == "guitar" or not section.bass or settings.bass == "none",
        density=settings.density,
        accent=ACCENTS.get(settings.meter, 4),
    )
    patterns = draws.shuffled(_palette(settings))
    order = draws.pick((0, 0, 0, 1, 1))
    arpeggio = section.arpeggio
    if settings.style.name in ("lofi", "rain", "ambient"):
        often = 0.6 if instrument == "guitar" else 0.22
        # A hopeful word moves the chords, and so does a busy one where no drums do it.
        often += 0.35 * max(0.0, settings.rise) if settings.style.name == "ambient" else 0.0
        often += 2.0 * max(0.0, settings.density - 0.5) if settings.kit == "none" else 0.0
        arpeggio |= draws.chance(often)
    notes: list[Note] = []
    for bar in bars:
        inside = Draws(settings.seed, f"comp/bar/{bar.index}")
        if instrument in HELD:
            for slot in bar.slots:
                notes += _swell(slot, hand, inside)
        elif arpeggio:
            notes += _arpeggio(bar, ARPEGGIOS[order], hand, inside)
        else:
            played = _comp(bar, _pattern(patterns, bar, section), hand, inside)
            early = EARLY_CHANCE.get(settings.style.name, 0.0)
            if bar.place > 0 and settings.meter == 4 and inside.chance(early):
                notes, played = _anticipated(notes, played, bar.beat)
            notes += played
    return notes


def _palette(settings: Settings) -> list[tuple[Hit, ...]]:
    """Returns the few patterns this track's player is fond of."""
    every = KEYS[settings.style.name]
    return Draws(settings.seed, "comp").shuffled(every)[: max(FEWEST_PATTERNS, len(every) - 2)]


def _anticipated(
    before: list[Note], played: list[Note], beat: float
) -> tuple[list[Note], list[Note]]:
    """Pulls the chord on the bar line half a beat forward; what sounds there makes room."""
    if not any(note.beat == beat for note in played):
        return before, played
    early = beat - 0.5
    if any(early - 0.4 < note.beat < beat for note in before):
        return before, played
    cut = [
        replace(note, beats=early - note.beat) if note.beat + note.beats > early else note
        for note in before
    ]
    pulled = [
        replace(note, beat=early, beats=note.beats + 0.5) if note.beat == beat else note
        for note in played
    ]
    return cut, pulled


def _pattern(patterns: Sequence[tuple[Hit, ...]], bar: Bar, section: Section) -> tuple[Hit, ...]:
    """Returns the bar's pattern: two bars each the first time, one each on returns."""
    place = bar.place // 2 if section.visit == 0 else bar.place
    if section.visit == 0 and bar.place % PHRASE_BARS == PHRASE_BARS - 1:
        place += 2
    return patterns[place % len(patterns)]


def _comp(bar: Bar, pattern: tuple[Hit, ...], hand: _Hand, draws: Draws) -> list[Note]:
    notes: list[Note] = []
    if len(bar.slots) == 1:
        hits = list(_varied(bar, pattern, hand, draws))
        if bar.index == 0 and min((hit[0] for hit in hits), default=1.0) > 0:
            hits.insert(0, (0.0, 0.9, 0.7))  # sound must begin at once
        slot = bar.slots[0]
        for start, length, level in hits:
            if start < bar.beats:
                beat = bar.beat + start
                notes += _chord(slot, beat, min(length, slot.end - beat), level, hand, draws)
        return notes
    for slot in bar.slots:
        for start, length, level in TWO_CHORD_PATTERNS[0 if draws.chance(0.6) else 1]:
            beat = slot.beat + start * slot.beats
            notes += _chord(slot, beat, length * slot.beats, level, hand, draws)
    return notes


def _varied(bar: Bar, pattern: tuple[Hit, ...], hand: _Hand, draws: Draws) -> list[Hit]:
    """Returns the pattern thinned or filled as the density asks."""
    lean = hand.density - 0.5
    hits = [
        hit
        for place, hit in enumerate(pattern)
        if place == 0 or not draws.chance(max(0.0, -1.4 * lean))
    ]
    for offbeat in (0.5, 1.5, 2.5, 3.5):
        free = all(abs(hit[0] - offbeat) >= 0.5 for hit in hits)
        if free and offbeat < bar.beats and draws.chance(max(0.0, 1.3 * lean)):
            hits.append((offbeat, 0.45, 0.5))
    hits.sort()
    return [
        (start, min(length, after[0] - start), level)
        for (start, length, level), after in zip(hits, [*hits[1:], (99.0, 0, 0)], strict=True)
    ]


def _chord(
    slot: VoicedSlot, beat: float, beats: float, level: float, hand: _Hand, draws: Draws
) -> list[Note]:
    step = draws.between(*STRUM_SEC.get(hand.instrument, (0.0, 0.0)))
    upward = draws.chance(0.85)
    voices = list(slot.voices)
    pans = list(PANS)
    if hand.with_root:
        voices.insert(0, 48 + (slot.chord.root - 48) % 12)
        pans.insert(0, 0.0)
    top = max(voices)
    order = range(len(voices)) if upward else range(len(voices) - 1, -1, -1)
    return [
        Note(
            beat=beat,
            beats=beats,
            part="keys",
            instrument=hand.instrument,
            midi=voices[place],
            velocity=level * hand.scale * (1.08 if voices[place] == top else 1.0),
            pan=pans[place],
            release_sec=RELEASES[hand.instrument],
            delay_sec=rank * step,
        )
        for rank, place in enumerate(order)
    ]


def _swell(slot: VoicedSlot, hand: _Hand, draws: Draws) -> list[Note]:
    """Returns a held chord that moves inside: a voice comes late, another answers an octave up."""
    late = draws.below(12)
    high = draws.below(10)
    notes = []
    for place, note in enumerate(_chord(slot, slot.beat, slot.beats, 0.6, hand, draws)):
        if place == late:
            half = note.beats / 2
            note = replace(note, beat=note.beat + half, beats=half)
        notes.append(note)
        if place == high and note.midi < 66:
            half = note.beats / 2
            start = slot.beat + half
            notes.append(
                replace(note, beat=start, beats=half, midi=note.midi + 12, velocity=0.34, pan=0.5)
            )
    return notes


def _arpeggio(bar: Bar, order: Sequence[int], hand: _Hand, draws: Draws) -> list[Note]:
    """Returns a bar of eighths through the voices, with holes."""
    notes = []
    left_out = min(0.6, max(0.05, 0.18 - 0.5 * (hand.density - 0.5)))
    for eighth in range(2 * bar.beats):
        hole = draws.chance(left_out)
        if hole and not (eighth == 0 and bar.index == 0):
            continue
        slot = bar.slot_at(eighth / 2)
        voice = order[(bar.place * 2 * bar.beats + eighth) % len(order)]
        notes.append(
            Note(
                beat=bar.beat + eighth / 2,
                beats=1.1,
                part="keys",
                instrument=hand.instrument,
                midi=slot.voices[voice],
                velocity=hand.scale * (0.72 if eighth % hand.accent == 0 else 0.52),
                pan=PANS[voice],
                release_sec=RELEASES[hand.instrument],
            )
        )
    if hand.with_root:
        for slot in bar.slots:
            notes.append(
                Note(
                    beat=slot.beat,
                    beats=slot.beats * 0.95,
                    part="keys",
                    instrument=hand.instrument,
                    midi=48 + (slot.chord.root - 48) % 12,
                    velocity=0.6 * hand.scale,
                    release_sec=RELEASES[hand.instrument],
                )
            )
    return notes


def play_pad(section: Section, bars: Sequence[Bar], settings: Settings) -> list[Note]:
    """Returns the pad's notes: the whole chord, held, low and wide."""
    if settings.pad is None or not section.pad or settings.keys in HELD:
        return []
    return [
        Note(
            beat=slot.beat,
            beats=slot.beats,
            part="pad",
            instrument=settings.pad,
            midi=midi,
            velocity=0.5,
            pan=pan,
            release_sec=PAD_RELEASE_SEC,
        )
        for bar in bars
        for slot in bar.slots
        for midi, pan in zip((*slot.voices[:3], slot.voices[3] - 12), PAD_PANS, strict=True)
    ]
