from __future__ import annotations

import itertools
from collections import Counter

import pytest

from lofi.backends.procedural.score import Score, all_events
from lofi.backends.procedural.styles import STYLES
from tests.backends.procedural.scores import passages, score


def fingerprints(found: Score) -> list[tuple[tuple[float, str, int], ...]]:
    """Every bar by all its parts' steps and pitches."""
    bars = []
    for passage in passages(found)[: len(found.form.sections)]:
        for bar in passage.bars:
            bars.append(tuple(sorted(
                (round(16 * (note.beat - bar.beat)) / 16, note.instrument,
                 note.midi if note.bus != "drums" else 0)
                for note in passage.notes
                if bar.beat <= note.beat < bar.beat + bar.beats
            )))  # fmt: skip
    return bars


@pytest.mark.parametrize("style", [name for name in STYLES if name != "ambient"])
@pytest.mark.parametrize("seed", range(6))
def test_never_twice_the_same_bar(style: str, seed: int) -> None:
    bars = fingerprints(score(style=style, seed=seed))
    assert all(first != second for first, second in itertools.pairwise(bars))
    assert max(Counter(bars).values()) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_ambient_repeats_little(seed: int) -> None:
    bars = fingerprints(score(style="ambient", seed=seed, duration_sec=300))
    assert sum(count - 1 for count in Counter(bars).values()) <= 12


def test_two_seeds_are_two_tracks() -> None:
    prints = [tuple(fingerprints(score(seed=seed, bpm=80))) for seed in range(12)]
    assert len(set(prints)) == 12


def test_a_section_is_written_the_same_whenever_it_is_asked_for() -> None:
    eager, lazy = score(duration_sec=240), score(duration_sec=240)
    whole = all_events(eager)
    late = [event for index in range(lazy.count) for event in lazy.passage(index).events]
    assert sorted(late, key=repr) == sorted(whole, key=repr)


def test_no_event_starts_before_its_passage_is_due() -> None:
    for style in STYLES:
        found = score(style=style, duration_sec=120)
        for index in range(found.count):
            events = found.passage(index).events
            if events:
                assert min(event.start for event in events) >= found.start_sample(index)


def test_the_last_chord_rolls_upward_and_is_the_tonic() -> None:
    found = score(style="lofi", seed=3)
    last = passages(found)[-1]
    keys = [note for note in last.notes if note.part == "keys"]
    delays = [note.delay_sec for note in sorted(keys, key=lambda note: note.midi)]
    assert delays == sorted(delays) and delays[-1] > 0.05
    bass = next(note for note in last.notes if note.part == "bass")
    assert bass.midi % 12 == found.settings.key.tonic
    assert {note.beat for note in keys} == {float(found.form.end_beat)}
