from __future__ import annotations

import pytest

from lofi.backends.procedural.signature import is_wanted
from tests.backends.procedural.scores import passages, score


def test_some_tracks_have_a_signature_and_place_it_before_a_change() -> None:
    having = 0
    for seed in range(20):
        found = score(seed=seed, style="house")
        swells = [
            (passage, note)
            for passage in passages(found)
            for note in passage.notes
            if note.instrument == "swell"
        ]
        having += bool(swells)
        assert bool(swells) <= is_wanted(found.settings)
        assert len({note.beat for _, note in swells}) <= 4
        for passage, note in swells:
            end = passage.bars[-1].beat + passage.bars[-1].beats
            assert note.beat + note.beats == pytest.approx(end)
    assert 4 <= having <= 16


def test_jazz_has_none() -> None:
    assert not any(is_wanted(score(seed=seed, style="jazz").settings) for seed in range(20))
