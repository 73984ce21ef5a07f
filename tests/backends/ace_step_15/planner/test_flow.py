"""Second attempts, fallbacks, and briefs as they come out of recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from lofi.backends.ace_step_15.planner import flow
from lofi.backends.ace_step_15.planner.brief import Brief
from lofi.backends.ace_step_15.planner.codes import count_for, fault, parse_codes
from lofi.backends.ace_step_15.planner.flow import CodeTask, Events, TextTask
from lofi.backends.ace_step_15.planner.planner import finished
from lofi.errors import InvalidParams, ModelInferenceFailed
from lofi.worker.backend import Event, Notice, Step

GOOD = list(range(60))
STUCK = [5] * 60
BRIEF = Brief("lofi", "la", bpm=90, keyscale="C major", timesignature="4", duration_sec=12.0)


class Script:
    """Hands out prepared runs, one an attempt."""

    def __init__(self, *runs: list[int], text: str = "") -> None:
        self._runs = list(runs)
        self._text = text
        self.attempts: list[tuple[int, tuple[int, ...]]] = []

    def text(self, task: TextTask, seed: int) -> Events[str]:
        yield Step(1, 0)
        return self._text

    def codes(self, task: CodeTask, seeds: Sequence[int]) -> Events[list[list[int]]]:
        self.attempts.append((task.attempt, tuple(seeds)))
        yield Step(1, 1)
        return [self._runs.pop(0) for _ in seeds]


def test_a_good_run_is_taken_as_it_is() -> None:
    script = Script(GOOD)
    (plan,) = finished(flow.planned(script, BRIEF, [1]))
    assert (list(plan.codes), plan.notices, script.attempts) == (GOOD, (), [(0, (1,))])


@pytest.mark.parametrize("bad", [STUCK, GOOD[:-1], [*GOOD[:-1], 64000], [], [1, 2, 3, 4] * 15])
def test_a_bad_run_is_drawn_once_more(bad: list[int]) -> None:
    script = Script(bad, GOOD)
    (plan,) = finished(flow.planned(script, BRIEF, [1]))
    assert (list(plan.codes), plan.notices) == (GOOD, ())
    assert script.attempts == [(0, (1,)), (1, (1,))]


def test_two_bad_runs_leave_the_codes_out_and_say_so() -> None:
    (plan,) = finished(flow.planned(Script(STUCK, STUCK), BRIEF, [1]))
    assert plan.codes == ()
    assert plan.bpm == 90
    (notice,) = plan.notices
    assert notice.code == "DEGRADED"
    assert "repeats 60 times" in notice.message


def test_of_several_plans_only_the_bad_one_is_drawn_again() -> None:
    script = Script(GOOD, STUCK, GOOD, GOOD[::-1])
    plans = finished(flow.planned(script, BRIEF, [1, 2, 3]))
    assert [list(plan.codes) for plan in plans] == [GOOD, GOOD[::-1], GOOD]
    assert script.attempts == [(0, (1, 2, 3)), (1, (2,))]


def test_a_model_that_writes_nothing_is_an_error() -> None:
    open_brief = Brief("lofi", "la")
    with pytest.raises(ModelInferenceFailed):
        finished(flow.planned(Script(GOOD), open_brief, [1]))


def test_where_nobody_said_how_long_the_codes_do() -> None:
    open_ended = replace(BRIEF, duration_sec=None, use_cot_metas=False)
    (plan,) = finished(flow.planned(Script(GOOD), open_ended, [1]))
    assert plan.duration_sec == 12
    assert plan.facts()["plan"]["duration_sec"] == 12
    (plan,) = finished(flow.planned(Script(GOOD[:9], GOOD[:9]), open_ended, [1]))
    assert (plan.codes, plan.duration_sec) == ((), None)
    assert "1.8 s of music" in plan.notices[0].message


def test_lyrics_that_did_not_come_are_told() -> None:
    silent = Script(GOOD, text="<think>\nbpm: 90\n</think>\n<|im_end|>")
    told: list[Event] = []
    brief = replace(BRIEF, lyrics="", write_lyrics=True)
    finished(flow.planned(silent, brief, [1]), told.append)
    assert [event.code for event in told if isinstance(event, Notice)] == ["DEGRADED"]


def test_codes_cover_the_whole_duration() -> None:
    assert [count_for(sec) for sec in (10, 12.2, 10.01, 600)] == [50, 61, 51, 3000]


def test_signs_of_a_bad_run() -> None:
    assert fault(GOOD, 60) is None
    assert fault(GOOD, None) is None
    assert fault([7] * 20, 20) is None  # too short to tell
    assert "4 s of music" in str(fault(GOOD[:20], None))
    assert fault([7] * 24 + GOOD, None) is None
    assert "25 times" in str(fault([7] * 25 + GOOD, None))


def test_a_recipe_becomes_a_brief() -> None:
    recipe: dict[str, Any] = {
        "prompt": "lofi",
        "lyrics": "[Instrumental]",
        "bpm": 90,
        "keyscale": "C minor",
        "timesignature": "4",
        "duration_sec": None,
        "vocal_language": "unknown",
        "thinking": True,
        "use_cot_metas": True,
        "use_cot_language": True,
        "use_cot_caption": False,
        "lm_temperature": 0.7,
        "lm_cfg_scale": 3,
        "lm_top_k": 5,
        "lm_top_p": 0.8,
        "lm_negative_prompt": "noise",
        "constrained": True,
    }
    brief = Brief.of(recipe)
    assert brief.fixed == {"bpm": 90, "keyscale": "C minor", "timesignature": "4"}
    assert (brief.sampling.temperature, brief.sampling.top_k, brief.sampling.top_p) == (0.7, 5, 0.8)
    assert (brief.guidance, brief.negative) == (3.0, "noise")
    assert brief.runs and brief.wants_codes
    # nothing is sung, so no language is asked for
    assert not brief.use_cot_language
    assert not Brief.of({**recipe, "audio_codes": [1, 2]}).wants_codes
    assert not Brief.of({**recipe, "task": "repaint"}).runs
    off = {"thinking": False, "use_cot_metas": False, "use_cot_language": False}
    assert not Brief.of({**recipe, **off}).runs


@pytest.mark.parametrize(
    ("given", "codes"),
    [
        ("1,2 3\n4", [1, 2, 3, 4]),
        ("<|audio_code_7|> <|audio_code_08|>", [7, 8]),
        ([0, 63999], [0, 63999]),
        ("", []),
    ],
)
def test_codes_are_taken_in_three_notations(given: Any, codes: list[int]) -> None:
    assert parse_codes(given) == codes


@pytest.mark.parametrize("given", ["64000", [True], "1;2", "-1"])
def test_other_codes_are_refused(given: Any) -> None:
    with pytest.raises(InvalidParams):
        parse_codes(given)
