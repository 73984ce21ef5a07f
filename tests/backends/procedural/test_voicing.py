from __future__ import annotations

import itertools

import numpy as np
import pytest

from lofi.backends.procedural.score import Score
from lofi.backends.procedural.settings import resolve
from lofi.backends.procedural.styles import STYLES
from lofi.backends.procedural.voicing import HIGHEST, LOWEST_DROPPED, Voicing, candidates


def voicings(style: str, seed: int) -> list[tuple[frozenset[int], Voicing]]:
    score = Score(resolve({"prompt": "", "style": style, "seed": seed, "duration_sec": 60}))
    return [
        (frozenset(slot.chord.colours), slot.voices)
        for index in range(len(score.form.sections))
        for bar in score.passage(index).bars
        for slot in bar.slots
    ]


def test_candidates_hold_each_note_once_within_the_range() -> None:
    for pitches in ({0, 4, 7, 11}, {2, 5, 9, 0}, {1, 2, 6, 8}):
        found = candidates(frozenset(pitches))
        assert len(found) > 8
        for voicing, _ in found:
            assert {midi % 12 for midi in voicing} == pitches and len(voicing) == 4
            assert voicing[0] >= LOWEST_DROPPED and voicing[-1] <= HIGHEST
            assert list(voicing) == sorted(voicing)


@pytest.mark.parametrize("style", STYLES)
def test_chords_flow(style: str) -> None:
    moves, tops = [], []
    for seed in range(4):
        chain = voicings(style, seed)
        for (_, before), (classes, after) in itertools.pairwise(chain):
            assert {midi % 12 for midi in after} == classes
            assert 5 <= after[-1] - after[0] <= 19
            moves += [abs(a - b) for a, b in zip(before, after, strict=True)]
            tops.append(abs(after[-1] - before[-1]))
    assert np.mean(moves) < 1.8
    assert np.mean(np.array(tops) <= 5) > 0.97
