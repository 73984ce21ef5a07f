from __future__ import annotations

import itertools

import pytest

from lofi.backends.procedural.bass import HIGHEST, LOWEST, ROOT_HIGHEST, ROOT_LOWEST, near
from lofi.backends.procedural.styles import STYLES
from tests.backends.procedural.scores import of_part, passages, score


@pytest.mark.parametrize("style", STYLES)
def test_the_bass_is_low_and_states_the_root(style: str) -> None:
    roots = firsts = 0
    for seed in range(4):
        for passage in passages(score(style=style, seed=seed)):
            notes = of_part(passage, "bass")
            assert all(LOWEST <= note.midi <= HIGHEST for note in notes)
            assert bool(notes) == passage.section.bass
            for bar in passage.bars:
                for slot in bar.slots:
                    inside = [n for n in notes if slot.beat <= n.beat < slot.end]
                    if inside:
                        first = min(inside, key=lambda note: note.beat)
                        roots += first.midi % 12 == slot.chord.root
                        firsts += 1
    assert roots == firsts > 20


def test_without_bass_nothing_is_plucked_and_keys_take_the_root() -> None:
    for passage in passages(score(prompt="rhodes, no bass", seed=2)):
        assert not of_part(passage, "bass")
        roots = {slot.chord.root for bar in passage.bars for slot in bar.slots}
        assert roots <= {n.midi % 12 for n in of_part(passage, "keys") if 48 <= n.midi <= 59}


def test_a_walk_in_six_eighths_has_two_beats() -> None:
    notes = of_part(passages(score(style="jazz", seed=3, timesignature="6"))[1], "bass")
    assert sum(note.beat % 1.5 == 0 for note in notes) > 0.5 * len(notes)


def test_roots_stay_near_the_hand() -> None:
    for pitch_class in range(12):
        for last in range(ROOT_LOWEST, ROOT_HIGHEST + 1):
            found = near(pitch_class, last)
            assert found % 12 == pitch_class and ROOT_LOWEST <= found <= ROOT_HIGHEST


def test_jazz_walks() -> None:
    passage = passages(score(style="jazz", seed=3))[1]
    bars = len(passage.bars)
    assert len(of_part(passage, "bass")) >= 2.5 * bars


def test_notes_do_not_overlap() -> None:
    for style in STYLES:
        for passage in passages(score(style=style)):
            notes = sorted(of_part(passage, "bass"), key=lambda note: note.beat)
            for first, second in itertools.pairwise(notes):
                assert first.beat + first.beats <= second.beat + 0.3
