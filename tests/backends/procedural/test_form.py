from __future__ import annotations

from typing import Any

import pytest

from lofi.backends.procedural.form import Form, plan
from lofi.backends.procedural.settings import resolve


def form(**recipe: Any) -> Form:
    return plan(resolve({"prompt": "", "seed": 1, "duration_sec": 60, "bpm": 80, **recipe}))


def letters(found: Form) -> str:
    return "".join(section.letter for section in found.sections)


@pytest.mark.parametrize("duration", [5, 8, 13, 30, 47, 60, 90, 180, 600])
@pytest.mark.parametrize("seed", range(6))
def test_sections_fill_the_bars_without_a_gap(duration: float, seed: int) -> None:
    found = form(duration_sec=duration, seed=seed)
    at = 0
    for index, section in enumerate(found.sections):
        assert section.index == index and section.start_bar == at and section.bars > 0
        at += section.bars
    assert at == found.bars
    assert [section.last for section in found.sections].count(True) == 1
    assert found.sections[-1].last


def test_the_last_chord_has_room_to_ring() -> None:
    for duration in (5.0, 20.0, 60.0, 240.0):
        found = form(duration_sec=duration)
        ring = duration - found.end_beat * 60 / 80
        assert ring >= min(3.5, max(1.0, 0.12 * duration)) - 0.01


def test_a_breakdown_never_ends_the_middle() -> None:
    for seed in range(30):
        for duration in (60, 70, 120, 333, 600):
            middle = letters(form(seed=seed, duration_sec=duration)).strip("IO")
            assert not middle.endswith("K")
            assert middle.startswith("A") or middle.startswith("B")


def test_long_tracks_renew_their_contrasts() -> None:
    found = form(duration_sec=600)
    materials = {section.material for section in found.sections}
    assert "A" in materials and len(materials) >= 5
    assert {section.material for section in found.sections if section.letter in "IOK"} == {"A"}


def test_what_plays_grows_and_thins() -> None:
    for seed in range(10):
        found = form(duration_sec=120, seed=seed)
        first = next(s for s in found.sections if s.letter == "A")
        later = [s for s in found.sections if s.letter == "A"][1]
        assert (first.drums, later.drums) == (2, 3) and (first.lead, later.lead) == (1, 2)
        intro = found.sections[0]
        assert intro.letter == "I" and intro.door and not intro.bass
        for section in found.sections:
            if section.letter == "K":
                assert section.drums == 0 and section.bars == 4


def test_a_body_has_no_intro_no_outro_and_no_door() -> None:
    found = form(form="body")
    assert set(letters(found)) <= set("ABCK")
    assert not any(s.door for s in found.sections if s.letter != "K")


def test_breakdowns_of_some_styles_are_heard_through_a_door() -> None:
    def doors(style: str) -> set[bool]:
        plans = [form(style=style, duration_sec=180, seed=seed) for seed in range(12)]
        return {s.door for plan in plans for s in plan.sections if s.letter == "K"}

    assert doors("house") == {True, False} and doors("jazz") == {False}


def test_the_guest_sings_where_sections_contrast() -> None:
    for seed in range(6):
        for section in form(duration_sec=180, seed=seed).sections:
            assert section.guest == (section.letter in "CK")


def test_a_loop_is_whole_bars_without_a_last_chord() -> None:
    found = form(loopable=True)
    assert not found.final and found.bars == int(60 // (4 * 60 / 80))
    assert set(letters(found)) <= set("ABCK")


def test_less_than_a_bar_still_makes_one() -> None:
    found = form(duration_sec=5, bpm=30, style="ambient")
    assert found.bars == 1 and 1 <= found.bar_beats <= 4
