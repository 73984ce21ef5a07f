from __future__ import annotations

import itertools

import pytest

from lofi.backends.procedural.melody import ABOVE, BELOW, REGISTERS
from lofi.backends.procedural.styles import STYLES
from tests.backends.procedural.scores import of_part, passages, score


@pytest.mark.parametrize("style", STYLES)
def test_the_tune_agrees_with_the_chords(style: str) -> None:
    strong = agree = long = clash = 0
    for seed in range(8):
        for passage in passages(score(style=style, seed=seed)):
            for bar in passage.bars:
                for note in of_part(passage, "lead"):
                    place = note.beat - bar.beat
                    if not 0 <= place < bar.beats:
                        continue
                    tones = bar.slot_at(place).chord.tones
                    if place in (0, 2):
                        strong += 1
                        agree += note.midi % 12 in tones
                    if note.beats > 0.9:
                        long += 1
                        clash += (note.midi - 1) % 12 in tones and note.midi % 12 not in tones
    assert strong > 30 and agree / strong >= 0.88
    assert clash / long <= 0.07


@pytest.mark.parametrize("style", STYLES)
def test_the_tune_stays_in_its_register_and_leaves_room(style: str) -> None:
    for seed in range(6):
        found = score(style=style, seed=seed)
        sung = 0.0
        for passage in passages(found):
            guest = passage.section.guest
            wanted = found.settings.guest if guest else found.settings.lead
            register = REGISTERS[wanted]
            for note in of_part(passage, "lead"):
                assert note.instrument == wanted
                assert register - BELOW <= note.midi <= register + ABOVE
                sung += min(note.beats, 4)
        share = sung / (found.form.end_beat + 4)
        assert 0.08 < share < 0.9


def test_one_note_at_a_time() -> None:
    for style in STYLES:
        for passage in passages(score(style=style, seed=4)):
            notes = sorted(of_part(passage, "lead"), key=lambda note: note.beat)
            for first, second in itertools.pairwise(notes):
                assert first.beat + first.beats <= second.beat + 1.3


def test_sections_of_one_letter_share_a_motif() -> None:
    shared = 0
    for seed in range(10):
        onsets: dict[str, list[set[float]]] = {}
        for passage in passages(score(seed=seed, duration_sec=120)):
            if passage.section.lead == 2:
                places = {n.beat % 4 for n in of_part(passage, "lead")}
                onsets.setdefault(passage.section.material, []).append(places)
        for runs in onsets.values():
            for first, second in itertools.pairwise(runs):
                shared += len(first & second) >= 2
    assert shared >= 8


@pytest.mark.parametrize("style", STYLES)
def test_no_note_is_held_into_a_chord_it_rubs_against(style: str) -> None:
    held = rubs = 0
    for seed in range(12):
        for passage in passages(score(style=style, seed=seed, duration_sec=120)):
            slots = [slot for bar in passage.bars for slot in bar.slots]
            for note in of_part(passage, "lead"):
                end = note.beat + note.beats - 0.3
                for slot in (slot for slot in slots if note.beat + 0.3 < slot.beat < end):
                    held += 1
                    tones = slot.chord.tones
                    rubs += note.midi % 12 not in tones and (note.midi - 1) % 12 in tones
    assert held > 20 and rubs == 0


def test_the_guest_is_another_instrument_unless_one_was_named() -> None:
    for seed in range(20):
        found = score(style="lofi", seed=seed).settings
        assert found.guest not in (found.lead, found.keys)
        named = score(prompt="lofi flute", seed=seed).settings
        assert named.guest == named.lead == "flute"


def test_density_moves_how_much_is_sung() -> None:
    def notes(density: float) -> int:
        return sum(
            len(of_part(p, "lead"))
            for seed in range(8)
            for p in passages(score(style="lofi", density=density, seed=seed, bpm=80))
        )

    assert notes(0.1) < 0.8 * notes(0.5) < 0.8 * notes(0.9)


def test_changing_the_drums_leaves_the_tune_alone() -> None:
    def tune(prompt: str) -> list[tuple[int, int]]:
        found = passages(score(style="lofi", prompt=prompt, bpm=80))
        return [(e.start, e.midi) for p in found for e in p.events if e.bus == "lead"]

    assert tune("") == tune("no drums") == tune("brushes")
