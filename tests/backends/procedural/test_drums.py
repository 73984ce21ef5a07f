from __future__ import annotations

from collections import Counter

import pytest

from lofi.backends.procedural.drum_kit import LEVELS
from lofi.backends.procedural.drums import backbeat_steps
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


def test_house_has_four_on_the_floor() -> None:
    for passage in passages(score(style="house")):
        if passage.section.drums >= 2:
            kicks = {note.beat % 4 for note in of_part(passage, "kick")}
            assert kicks == {0, 1, 2, 3}


def test_density_moves_how_much_is_hit() -> None:
    def count(density: float) -> int:
        return sum(sum(hits(style="lofi", density=density, seed=s).values()) for s in range(8))

    assert count(0.1) < 0.85 * count(0.5) and count(0.9) > 1.12 * count(0.5)


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
