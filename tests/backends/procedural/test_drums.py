from __future__ import annotations

from collections import Counter

import pytest

from lofi.backends.procedural.drum_kit import LEVELS
from lofi.backends.procedural.drums import backbeat_steps
from lofi.backends.procedural.notes import Bar
from lofi.backends.procedural.score import Passage
from tests.backends.procedural.scores import of_part, passages, score

DRUMS = ("kick", "snare", "hat")


def hits(**recipe: object) -> Counter[str]:
    found = passages(score(**recipe))
    return Counter(note.instrument for passage in found for note in of_part(passage, *DRUMS))


def test_every_hit_of_every_kit_has_a_sound() -> None:
    for prompt in ("lofi", "jazz", "house", "rain", "brushes", "cafe jazz"):
        for seed in range(6):
            assert set(hits(prompt=prompt, seed=seed)) <= set(LEVELS)


@pytest.mark.parametrize("prompt", ["ambient", "lofi, no drums", "drumless house"])
def test_without_a_kit_nothing_is_hit(prompt: str) -> None:
    assert not hits(prompt=prompt)


@pytest.mark.parametrize(("meter", "steps"), [("4", {4, 12}), ("2", {4}), ("6", {6})])
def test_the_backbeat_lies_where_the_meter_wants_it(meter: str, steps: set[int]) -> None:
    found = score(style="lofi", timesignature=meter, seed=5)
    assert set(backbeat_steps(int(meter), 0)) == steps
    for passage in passages(found):
        if passage.section.drums < 2:
            continue
        loud = {
            round(4 * (note.beat % found.form.bar_beats))
            for note in of_part(passage, "snare")
            if note.velocity > 0.6 and note.beat < passage.bars[-1].beat
        }
        assert loud == steps or not loud


@pytest.mark.parametrize("prompt", ["lofi", "jazz", "brushes", "rain"])
def test_six_eighths_are_stressed_in_threes(prompt: str) -> None:
    loud, soft = [], []
    for seed in range(6):
        for passage in passages(score(prompt=prompt, timesignature="6", seed=seed)):
            for note in of_part(passage, "hat"):
                if note.instrument in ("hat", "ride") and note.beat % 0.5 == 0:
                    (loud if note.beat % 1.5 == 0 else soft).append(note.velocity)
    assert loud and (not soft or sum(loud) / len(loud) > 1.15 * sum(soft) / len(soft))


def test_house_has_four_on_the_floor() -> None:
    for passage in passages(score(style="house")):
        if passage.section.drums >= 2:
            kicks = {note.beat % 4 for note in of_part(passage, "kick")}
            assert kicks == {0, 1, 2, 3}


def test_density_moves_how_much_is_hit() -> None:
    def count(density: float) -> int:
        return sum(sum(hits(style="lofi", density=density, seed=s).values()) for s in range(8))

    assert count(0.1) < 0.85 * count(0.5) and count(0.9) > 1.12 * count(0.5)


@pytest.mark.parametrize("prompt", ["lofi", "jazz", "house", "rain", "brushes", "ambient drums"])
@pytest.mark.parametrize("meter", ["2", "3", "4", "6"])
def test_every_density_can_be_drummed(prompt: str, meter: str) -> None:
    for density in (0.0, 0.3, 0.7, 1.0):
        for seed in range(6):
            passages(score(prompt=prompt, density=density, seed=seed, timesignature=meter))


def cymbals(passage: Passage, bar: Bar) -> tuple[tuple[float, str], ...]:
    names = ("hat", "ride", "pedal", "sweep", "open")
    return tuple(sorted(
        (n.beat - bar.beat, n.instrument)
        for n in of_part(passage, *DRUMS)
        if n.instrument in names and bar.beat <= n.beat < bar.beat + bar.beats
    ))  # fmt: skip


@pytest.mark.parametrize("style", ["lofi", "jazz", "house", "rain"])
def test_cymbals_do_not_run_like_a_machine(style: str) -> None:
    for seed in range(8):
        longest = run = 1
        before: tuple[tuple[float, str], ...] = ()
        for passage in passages(score(style=style, seed=seed, duration_sec=180))[:-1]:
            for bar in passage.bars:
                now = cymbals(passage, bar)
                run = run + 1 if now and now == before else 1
                longest, before = max(longest, run), now
        assert longest <= 12


def test_drummers_have_habits_of_their_own() -> None:
    def kicks(seed: int) -> frozenset[tuple[float, ...]]:
        bars = set()
        for passage in passages(score(style="lofi", seed=seed, duration_sec=180)):
            for bar in passage.bars if passage.section.drums >= 2 else ():
                hits = [n.beat - bar.beat for n in of_part(passage, "kick")]
                bars.add(tuple(beat for beat in hits if 0 <= beat < bar.beats))
        return frozenset(bars)

    assert len({kicks(seed) for seed in range(10)}) >= 8


def test_drums_say_how_loud_they_should_be() -> None:
    def loudest(prompt: str) -> float:
        found = passages(score(prompt=prompt, style="lofi"))
        return max(n.velocity for p in found for n in of_part(p, "kick"))

    assert loudest("gentle soft") < loudest("") < loudest("energetic drums")


def test_sections_end_differently() -> None:
    ends = set()
    for seed in range(12):
        for passage in passages(score(style="lofi", seed=seed, duration_sec=60)):
            if passage.section.drums >= 2 and passage.bars:
                last = passage.bars[-1]
                ends.add(tuple(sorted(
                    (round(4 * (n.beat - last.beat)), n.instrument)
                    for n in of_part(passage, "kick", "snare") if n.beat >= last.beat + 2
                )))  # fmt: skip
    assert len(ends) > 15
