from __future__ import annotations

import pytest

from lofi.backends.procedural.score import Passage
from lofi.backends.procedural.styles import STYLES
from tests.backends.procedural.scores import of_part, passages, score


def tones_at(passage: Passage, beat: float) -> frozenset[int]:
    slots = [slot for bar in passage.bars for slot in bar.slots]
    return next(slot.chord.tones for slot in slots if slot.beat <= beat < slot.end)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(4))
def test_keys_play_the_chord_that_sounds_or_is_about_to(style: str, seed: int) -> None:
    for passage in passages(score(style=style, seed=seed)):
        end = passage.bars[-1].beat + passage.bars[-1].beats
        early = set()
        for note in of_part(passage, "keys"):
            now = note.midi % 12 in tones_at(passage, note.beat)
            soon = (
                note.beat % 1 == 0.5
                and note.beat + 0.5 < end
                and (note.midi % 12 in tones_at(passage, note.beat + 0.5))
            )
            assert now or soon
            early |= set() if now else {note.beat}
        assert len(early) <= 0.5 * len(passage.bars) + 1


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("meter", ["2", "3", "4", "6"])
def test_sound_begins_on_the_first_beat(style: str, meter: str) -> None:
    for seed in range(8):
        first = passages(score(style=style, seed=seed, timesignature=meter))[0]
        assert min(note.beat for note in of_part(first, "keys", "pad")) == 0.0


def test_no_chord_outlasts_the_next_one() -> None:
    for seed in range(6):
        for passage in passages(score(style="jazz", keys="piano", seed=seed))[:-1]:
            slots = [slot for bar in passage.bars for slot in bar.slots]
            for note in of_part(passage, "keys"):
                ends = [slot.end for slot in slots if slot.beat <= note.beat + 1e-9 < slot.end]
                early = 3.0 if note.beat % 1 == 0.5 else 0.0  # it was pulled over the bar line
                assert ends and note.beat + note.beats <= ends[0] + 1.2 + early


def test_density_moves_how_often_keys_strike() -> None:
    def strikes(density: float) -> int:
        return sum(
            len({note.beat for note in of_part(passage, "keys")})
            for seed in range(8)
            for passage in passages(score(prompt="rhodes", seed=seed, density=density, bpm=80))
        )

    assert strikes(0.1) < 0.9 * strikes(0.5) and strikes(0.9) > 1.1 * strikes(0.5)


def test_the_pad_holds_whole_chords_low_and_wide() -> None:
    found = score(style="rain", prompt="strings")
    pads = [note for passage in passages(found) for note in of_part(passage, "pad")]
    assert pads and all(note.instrument == "strings" and note.midi < 70 for note in pads)
    assert {note.pan for note in pads} == {-0.6, 0.5, 0.0, 0.2}


def test_keys_add_the_root_where_the_bass_rests() -> None:
    found = score(prompt="rhodes lofi", seed=2)
    intro = passages(found)[0]
    assert intro.section.letter == "I" and not of_part(intro, "bass")
    roots = {slot.chord.root for bar in intro.bars for slot in bar.slots}
    low = {note.midi % 12 for note in of_part(intro, "keys") if 48 <= note.midi <= 59}
    assert roots <= low
