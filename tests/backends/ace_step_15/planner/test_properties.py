"""What must hold whatever the user fixes and whatever the model says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle, islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi.backends.ace_step_15.planner import flow
from lofi.backends.ace_step_15.planner.brief import Brief, Sampling
from lofi.backends.ace_step_15.planner.codes import fault
from lofi.backends.ace_step_15.planner.decoder import Decoder
from lofi.backends.ace_step_15.planner.flow import CodeTask, Events, Plan, TextTask
from lofi.backends.ace_step_15.planner.metadata import (
    KEYSCALES,
    LANGUAGES,
    TIMESIGNATURES,
    is_legal,
    values_of,
)
from lofi.backends.ace_step_15.planner.planner import finished
from lofi.backends.ace_step_15.planner.reading import read_block
from lofi.backends.ace_step_15.planner.vocabulary import Vocabulary
from lofi.worker.backend import Step
from tests.backends.ace_step_15.planner.conftest import Noise, never

SUNG = tuple(language for language in LANGUAGES if language != "unknown")


class Witness:
    """Writes texts with a decoder; keeps phase 2's task and answers it without a model."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.task: CodeTask | None = None

    def text(self, task: TextTask, seed: int) -> Events[str]:
        return (yield from self._decoder.text(task, seed))

    def codes(self, task: CodeTask, seeds: Sequence[int]) -> Events[list[list[int]]]:
        self.task = task
        yield Step(1, 1)
        return [[place * 7919 % 64000 for place in range(task.count or 60)] for _ in seeds]


def planned(vocabulary: Vocabulary, brief: Brief, seed: int) -> tuple[Plan, str]:
    """The plan, and phase 2's prompt."""
    decoder = Decoder(Noise(vocabulary.size, seed), vocabulary, never)
    witness = Witness(decoder)
    (plan,) = finished(flow.planned(witness, brief, [seed]))
    assert witness.task is not None
    return plan, witness.task.prompt


def check_user_values(brief: Brief, plan: Plan, prompt: str) -> None:
    """Everything given stands in the prefix and in the plan, to the letter."""
    block = prompt.split("<|im_start|>assistant\n")[1]
    lines = block.split("\n")
    told = read_block(block)
    if brief.bpm is not None:
        assert f"bpm: {brief.bpm}" in lines
        assert plan.bpm == brief.bpm
    if brief.duration_sec is not None:
        assert f"duration: {int(brief.duration_sec)}" in lines
        assert plan.duration_sec == brief.duration_sec
        assert len(plan.codes) == math.ceil(round(brief.duration_sec * 5, 6))
    if brief.keyscale:
        assert f"keyscale: {brief.keyscale}" in lines
        assert plan.keyscale == brief.keyscale
    if brief.timesignature:
        assert f"timesignature: {brief.timesignature}" in lines
        assert plan.timesignature == brief.timesignature
    if brief.vocal_language:
        assert told["language"] == brief.vocal_language
        assert plan.vocal_language == brief.vocal_language
    assert brief.caption in prompt
    assert plan.caption == brief.caption
    for name, value in told.items():
        assert is_legal(name, value), (name, value)


def test_every_value_a_user_can_give_reaches_the_model_unchanged(vocabulary: Vocabulary) -> None:
    durations = [float(value) for value in values_of("duration")]
    tempi = [int(value) for value in values_of("bpm")]
    rows = zip(
        durations,
        islice(cycle(tempi), len(durations)),
        islice(cycle(KEYSCALES), len(durations)),
        islice(cycle(SUNG), len(durations)),
        islice(cycle(TIMESIGNATURES), len(durations)),
        strict=True,
    )
    for number, (duration, bpm, key, language, meter) in enumerate(rows):
        # each field is left open in turn, so that phase 1 runs and must write around the others
        brief = Brief(
            "a tune",
            "la",
            bpm=None if number % 4 == 0 else bpm,
            duration_sec=None if number % 5 == 1 else duration,
            keyscale="" if number % 6 == 2 else key,
            timesignature="" if number % 7 == 3 else meter,
            vocal_language="" if number % 8 == 4 else language,
            sampling=Sampling(temperature=1.0),
        )
        plan, prompt = planned(vocabulary, brief, number)
        check_user_values(brief, plan, prompt)


@settings(max_examples=60, deadline=None)
@given(
    bpm=st.none() | st.integers(30, 300),
    duration=st.none() | st.floats(10, 600, allow_nan=False).map(lambda x: round(x, 2)),
    key=st.sampled_from(("", *KEYSCALES)),
    meter=st.sampled_from(("", *TIMESIGNATURES)),
    language=st.sampled_from(("", *SUNG)),
    rewrite=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_mixture_of_given_and_open_fields(
    vocabulary: Vocabulary,
    bpm: int | None,
    duration: float | None,
    key: str,
    meter: str,
    language: str,
    rewrite: bool,
    seed: int,
) -> None:
    brief = Brief(
        "a tune",
        "la",
        bpm=bpm,
        duration_sec=duration,
        keyscale=key,
        timesignature=meter,
        vocal_language=language,
    )
    plan, prompt = planned(vocabulary, brief, seed)
    check_user_values(brief, plan, prompt)


@pytest.mark.parametrize("spread", [0.0, 1.0, 8.0, 40.0])
@pytest.mark.parametrize("temperature", [0.0, 0.85, 2.0])
def test_a_model_that_says_anything_still_gives_a_legal_plan(
    vocabulary: Vocabulary, spread: float, temperature: float
) -> None:
    for seed in range(6):
        noise = Noise(vocabulary.size, seed, spread)
        brief = Brief(
            caption="" if seed % 2 else "a tune",
            lyrics="" if seed % 3 == 0 else "la",
            write_lyrics=seed % 3 == 0,
            use_cot_caption=seed % 2 == 0,
            sampling=Sampling(temperature=temperature, top_p=0.9 if seed % 2 else 1.0),
            guidance=1.0 + seed % 2,
            duration_sec=None if seed % 3 == 1 else 30.0,
            longest_sec=40,
        )
        writer = Decoder(noise, vocabulary, never)
        (plan,) = finished(flow.planned(writer, brief, [seed]))
        fields = set(plan.metadata)
        assert fields >= {"bpm", "duration", "keyscale", "language", "timesignature"}
        for name, value in plan.metadata.items():
            assert is_legal(name, value), (name, value)
        assert plan.duration_sec is not None
        count = math.ceil(plan.duration_sec * 5)
        assert plan.notices or fault(plan.codes, count) is None
        for text in (plan.caption, plan.lyrics):
            assert not any(mark in text for mark in ("<|", "<think>", "</think>"))


def test_codes_without_a_target_end_too(vocabulary: Vocabulary) -> None:
    noise = Noise(vocabulary.size, 1)
    task = CodeTask("p", "a", 2.0, None, Sampling(), constrained=True)
    runs = finished(Decoder(noise, vocabulary, never).codes(task, [1, 2, 3]))
    assert all(0 <= len(run) <= 3000 for run in runs)
    assert len({tuple(run) for run in runs}) == 3


@pytest.mark.parametrize("thinking", [True, False])
@pytest.mark.parametrize("use_cot_metas", [True, False])
def test_an_unconstrained_model_gives_a_legal_plan_too(
    vocabulary: Vocabulary, thinking: bool, use_cot_metas: bool
) -> None:
    for seed in range(4):
        brief = Brief(
            "a tune",
            "la",
            bpm=77,
            duration_sec=12.0 if seed % 2 else None,
            thinking=thinking,
            use_cot_metas=use_cot_metas,
            write_lyrics=seed == 3,
            constrained=False,
            longest_sec=40,
        )
        writer = Decoder(Noise(vocabulary.size, seed), vocabulary, never)
        (plan,) = finished(flow.planned(writer, brief, [seed]))
        assert plan.bpm == plan.metadata["bpm"] == 77
        for name, value in plan.metadata.items():
            assert is_legal(name, value), (name, value)
        if brief.duration_sec:
            assert plan.duration_sec == 12
        assert plan.duration_sec is None or 10 <= plan.duration_sec <= 600
        count = None if plan.duration_sec is None else math.ceil(plan.duration_sec * 5)
        assert not plan.codes or fault(plan.codes, count) is None
        assert bool(plan.codes) != bool(plan.notices) or not thinking
