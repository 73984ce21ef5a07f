from __future__ import annotations

from typing import Any

import pytest

from lofi.backends.procedural import form
from lofi.backends.procedural.harmony import Chord, Harmony, compose
from lofi.backends.procedural.progressions import CADENCES, PROGRESSIONS, QUALITIES, RELATIVES
from lofi.backends.procedural.settings import Settings, resolve
from lofi.backends.procedural.styles import STYLES


def composed(**recipe: Any) -> tuple[Settings, form.Form, Harmony]:
    settings = resolve({"prompt": "", "seed": 1, "duration_sec": 120, **recipe})
    plan = form.plan(settings)
    return settings, plan, compose(settings, plan)


def test_every_written_chord_is_known() -> None:
    texts = [*CADENCES[True], *CADENCES[False], *RELATIVES, *RELATIVES.values()]
    for progressions in PROGRESSIONS.values():
        for progression in progressions:
            assert progression.count("|") == 3
            texts += progression.split("|")
    for text in texts:
        for chord in text.split():
            offset, quality = chord.split(":")
            assert 0 <= int(offset) < 12 and quality in QUALITIES


def test_every_quality_has_four_different_voices() -> None:
    for quality in QUALITIES:
        assert len(set(Chord(0, quality).colours)) == 4


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(5))
def test_home_is_learnt_first_and_returned_to(style: str, seed: int) -> None:
    settings, plan, harmony = composed(style=style, seed=seed)
    assert len(harmony.bars) == plan.bars
    assert harmony.bars[0][0].chord.root == settings.key.tonic
    assert harmony.final.root == settings.key.tonic
    third = 3 if settings.key.minor else 4
    assert (settings.key.tonic + third) % 12 in harmony.final.tones


@pytest.mark.parametrize("meter", ["2", "3", "4", "6"])
def test_chords_fill_each_bar(meter: str) -> None:
    _, plan, harmony = composed(timesignature=meter, style="jazz")
    for bar in harmony.bars:
        at = 0.0
        for slot in bar:
            assert slot.beat == pytest.approx(at)
            at += slot.beats
        assert at == pytest.approx(plan.bar_beats)


def test_the_last_bar_is_a_cadence() -> None:
    for seed in range(8):
        settings, _, harmony = composed(seed=seed)
        written = [
            [(settings.key.tonic + int(chord.split(":")[0])) % 12 for chord in text.split()]
            for text in CADENCES[settings.key.minor]
        ]
        assert [slot.chord.root for slot in harmony.bars[-1]] in written


def test_returning_sections_share_most_chords_with_the_first() -> None:
    for seed in range(8):
        _, plan, harmony = composed(seed=seed, style="rain")
        runs = [s for s in plan.sections if s.letter == "A" and not s.last]
        first = harmony.bars[runs[0].start_bar : runs[0].start_bar + 4]
        for run in runs[1:]:
            again = harmony.bars[run.start_bar : run.start_bar + 4]
            same = sum(a[0].chord == b[0].chord for a, b in zip(first, again, strict=True))
            assert same >= 3


def test_jazz_chords_come_with_the_word() -> None:
    jazz = {
        tuple(tuple(bar.split()) for bar in text.split("|"))
        for text in PROGRESSIONS[("jazz", True)]
    }

    def heard(prompt: str) -> int:
        count = 0
        for seed in range(30):
            _, plan, harmony = composed(prompt=prompt, seed=seed, keyscale="C minor")
            for section in plan.sections:
                if section.visit == 0 and section.bars >= 4 and not section.last:
                    bars = harmony.bars[section.start_bar : section.start_bar + 4]
                    count += (
                        tuple(
                            tuple(f"{slot.chord.root}:{slot.chord.quality}" for slot in bar)
                            for bar in bars
                        )
                        in jazz
                    )
        return count

    assert heard("jazzy lofi") > 3 and heard("lofi") == 0
