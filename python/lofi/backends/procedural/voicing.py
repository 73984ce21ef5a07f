"""Which octave each note of a chord takes: what makes chords flow into each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from lofi.backends.procedural.harmony import Chord
from lofi.backends.procedural.randomness import Draws

Voicing = tuple[int, ...]
"""MIDI numbers, ascending."""

LOWEST, HIGHEST, LOWEST_DROPPED = 50, 77, 47
CENTRES = {"ep": 63.0, "guitar": 59.0, "stab": 64.0}
DEFAULT_CENTRE = 62.0
REGISTER = 2.5
"""Semitones by which a track may lie higher or lower than its instrument's middle."""
BRIGHT_SEMITONES = 4.0
MUD_BELOW = 55


@lru_cache(maxsize=512)
def candidates(pitch_classes: frozenset[int]) -> tuple[tuple[Voicing, float], ...]:
    """Returns every close stack and its drop 2, each with the cost it has by itself."""
    found: list[Voicing] = []
    for bottom in range(LOWEST, HIGHEST + 1):
        if bottom % 12 not in pitch_classes:
            continue
        stack = [bottom]
        rest = sorted((pitch - bottom) % 12 for pitch in pitch_classes if pitch != bottom % 12)
        stack += [bottom + step for step in rest]
        if stack[-1] > HIGHEST:
            continue
        found.append(tuple(stack))
        dropped = stack[-2] - 12
        if dropped >= LOWEST_DROPPED:
            found.append(tuple(sorted([*stack[:-2], dropped, stack[-1]])))
    return tuple((voicing, _roughness(voicing)) for voicing in found)


def _roughness(voicing: Voicing) -> float:
    cost = 0.0
    for place in range(len(voicing) - 1):
        gap = voicing[place + 1] - voicing[place]
        if gap == 1:
            cost += 6.0 if place == len(voicing) - 2 else 2.5
        if gap < 3 and voicing[place] < MUD_BELOW:
            cost += 5.0
        if gap > 11:
            cost += 4.0
    for low in voicing:
        cost += 3.0 * sum(1 for high in voicing if high - low == 13)
    return cost


def centre_of(seed: int, instrument: str, bright: float = 0.0) -> float:
    """Returns the pitch around which one track's keys play: every hand lies a little elsewhere.

    `bright` is how many octaves brighter the words want it, -1…1: bright chords lie higher.
    """
    middle = CENTRES.get(instrument, DEFAULT_CENTRE) + BRIGHT_SEMITONES * bright
    return middle + Draws(seed, "register").between(-REGISTER, REGISTER)


def voice(chord: Chord, before: Voicing | None, centre: float, draws: Draws) -> Voicing:
    """Returns the cheapest voicing of `chord` around `centre` after the voicing `before`."""
    best: tuple[float, Voicing] | None = None
    for voicing, own in candidates(frozenset(chord.colours)):
        cost = own + 0.35 * abs(sum(voicing) / len(voicing) - centre) + 0.8 * draws.unit()
        if before is not None:
            cost += movement(before, voicing)
            if abs(voicing[-1] - before[-1]) > 5:
                cost += 4.0
        if best is None or cost < best[0]:
            best = (cost, voicing)
    if best is None:
        raise AssertionError(f"no voicing for {chord}")  # every chord has some within the range
    return best[1]


def movement(before: Sequence[int], after: Sequence[int]) -> float:
    """Returns the semitones all voices move together."""
    return float(sum(abs(a - b) for a, b in zip(before, after, strict=True)))
