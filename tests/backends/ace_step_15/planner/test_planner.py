"""The whole planner on a tiny checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lofi.backends.ace_step_15.planner.brief import Brief, Sampling
from lofi.backends.ace_step_15.planner.codes import fault
from lofi.backends.ace_step_15.planner.metadata import is_legal
from lofi.backends.ace_step_15.planner.planner import Planner, finished, planner_folder, size_of
from lofi.errors import GenerationCancelled, LmUnavailable, ModelLoadFailed, ModelNotFound
from lofi.worker.backend import Event, Facts, Notice, Phase, Step
from tests.backends.ace_step_15.planner.conftest import never
from tests.checkpoints import ace_step_15_lm as checkpoints

BRIEF = Brief("lofi, rain", "[Instrumental]", duration_sec=12.0)


def heard(planner: Planner, brief: Brief, seed: int = 7) -> list[Event]:
    events: list[Event] = []
    planner.plan(brief, seed, never, events.append)
    return events


def test_a_plan_is_legal_and_as_long_as_asked(planner: Planner) -> None:
    plan = planner.plan(BRIEF, 7, never)
    assert fault(plan.codes, 60) is None
    assert plan.duration_sec == 12.0
    for name, value in plan.metadata.items():
        assert is_legal(name, value), (name, value)
    assert "caption" not in plan.metadata
    assert plan.caption == BRIEF.caption


def test_one_seed_one_plan(planner: Planner, models: Path) -> None:
    first = planner.plan(BRIEF, 7, never)
    planner.plan(replace(BRIEF, caption="something else first"), 9, never)
    assert planner.plan(BRIEF, 7, never) == first
    assert planner.plan(BRIEF, 8, never).codes != first.codes
    other = Planner()
    finished(other.load(models, "0.6b", "cpu", torch.float32, never))
    assert other.plan(BRIEF, 7, never) == first


def test_several_plans_share_the_metadata_and_equal_single_ones(planner: Planner) -> None:
    brief = replace(BRIEF, bpm=90, keyscale="C minor", timesignature="4")
    plans = finished(planner.plannings(brief, [7, 8, 9], never))
    assert len({plan.codes for plan in plans}) == 3
    assert plans == [planner.plan(brief, seed, never) for seed in (7, 8, 9)]


def test_events_tell_phase_tokens_and_facts(planner: Planner) -> None:
    events = heard(planner, BRIEF)
    assert events[0] == Phase("planning", 0, "cpu", "float32")
    assert Phase("planning", 60) in events
    steps = [event for event in events if isinstance(event, Step) and event.total]
    assert [step.done for step in steps] == list(range(1, 61))
    assert {step.total for step in steps} == {60}
    facts = [event.values for event in events if isinstance(event, Facts)]
    assert facts[0]["plan"]["metas"] and facts[0]["plan"]["codes"] == []
    assert len(facts[-1]["plan"]["codes"]) == 60
    assert events.index(Facts(facts[0])) < events.index(steps[0])


def test_every_token_can_be_the_last(planner: Planner) -> None:
    calls = 0

    def count() -> None:
        nonlocal calls
        calls += 1

    planner.plan(BRIEF, 7, count)
    total, steps = calls, sum(isinstance(event, Step) for event in heard(planner, BRIEF))
    assert total > steps
    for last in (1, total // 2, total):

        def stop(last: int = last) -> None:
            nonlocal calls
            calls += 1
            if calls == last:
                raise GenerationCancelled("enough")

        calls = 0
        with pytest.raises(GenerationCancelled):
            planner.plan(BRIEF, 7, stop)
    assert planner.plan(BRIEF, 7, never).codes


def test_short_pieces_are_not_planned(planner: Planner) -> None:
    events: list[Event] = []
    plan = planner.plan(replace(BRIEF, duration_sec=6.0), 7, never, events.append)
    assert plan.codes == ()
    assert any(isinstance(event, Notice) and event.param == "thinking" for event in events)


def test_tasks_that_follow_their_source_are_not_planned(planner: Planner) -> None:
    plan = planner.plan(replace(BRIEF, task="cover", bpm=80), 7, never)
    assert (plan.codes, plan.bpm, plan.caption) == ((), 80, BRIEF.caption)


def test_lyrics_can_be_written(planner: Planner) -> None:
    brief = replace(BRIEF, lyrics="", write_lyrics=True, thinking=False, duration_sec=20.0)
    plan = planner.plan(brief, 3, never)
    assert plan.lyrics
    assert "<|" not in plan.lyrics
    assert plan.metadata["duration"] == 20
    assert plan.caption == BRIEF.caption


def test_unconstrained_answers_still_give_a_legal_plan(planner: Planner) -> None:
    brief = replace(BRIEF, constrained=False, bpm=77, sampling=Sampling(temperature=1.0))
    plan = planner.plan(brief, 1, never)
    assert plan.bpm == 77
    assert all(is_legal(name, value) for name, value in plan.metadata.items())
    assert plan.codes == () or fault(plan.codes, 60) is None
    assert plan.codes or plan.notices[0].code == "DEGRADED"


@pytest.mark.parametrize(("prefix", "shards"), [("", 1), ("model.", 2), ("", 2)])
def test_all_published_layouts_give_the_same_plan(
    tmp_path: Path, planner: Planner, prefix: str, shards: int
) -> None:
    checkpoints.write(tmp_path, "4B", prefix=prefix, shards=shards)
    other = Planner()
    finished(other.load(tmp_path, "4b", "cpu", torch.float32, never))
    assert other.plan(BRIEF, 7, never) == planner.plan(BRIEF, 7, never)


def test_bfloat16_plans_too(models: Path) -> None:
    planner = Planner()
    finished(planner.load(models, "0.6b", "cpu", torch.bfloat16, never))
    assert len(planner.plan(BRIEF, 7, never).codes) == 60


def test_loading_twice_costs_nothing_and_unloading_lets_go(models: Path) -> None:
    planner = Planner()
    events = list(planner.load(models, "0.6b", "cpu", torch.float32, never))
    assert events == [Phase("loading", 0, "cpu", "float32")]
    assert planner.size_bytes > 0
    assert list(planner.load(models, "0.6b", "cpu", torch.float32, never)) == []
    planner.unload()
    assert planner.size_bytes == 0
    with pytest.raises(LmUnavailable):
        planner.plan(BRIEF, 7, never)


def test_a_fine_tuned_planner_serves_its_size(tmp_path: Path) -> None:
    made = checkpoints.write(tmp_path, "1.7B-v4-fix")
    assert planner_folder(tmp_path, "1.7b") == made
    assert size_of("acestep-5Hz-lm-4B") == "4b"
    assert size_of("my-planner") == "0.6b"
    with pytest.raises(LmUnavailable, match="no 4b planner"):
        planner_folder(tmp_path, "4b")


def test_broken_checkpoints_are_named(tmp_path: Path) -> None:
    folder = checkpoints.write(tmp_path)
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()

    def load() -> None:
        finished(Planner().load(tmp_path, "0.6b", "cpu", torch.float32, never))

    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelLoadFailed, match=r"model\.safetensors"):
        load()
    weights.unlink()
    with pytest.raises(ModelNotFound):
        load()
    weights.write_bytes(whole)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelLoadFailed, match=r"tokenizer\.json"):
        load()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFound, match=r"tokenizer\.json"):
        load()
