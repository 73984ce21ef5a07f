"""The planner's operations: parameters in, answers in the documented shape out."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lofi import recipe
from lofi.backends.ace_step_15.planner.flow import Events
from lofi.backends.ace_step_15.planner.metadata import is_legal
from lofi.backends.ace_step_15.planner.operations import operate
from lofi.backends.ace_step_15.planner.planner import Planner
from lofi.backends.ace_step_15.planner.reading import Written, read
from lofi.errors import InvalidDuration, InvalidParams, MethodNotFound
from lofi.worker.backend import Answer, Event, Phase, Step
from tests.backends.ace_step_15.planner.conftest import never
from tests.test_recipe import World

SHEET = {
    "prompt",
    "lyrics",
    "bpm",
    "duration_sec",
    "keyscale",
    "timesignature",
    "vocal_language",
    "instrumental",
    "seed",
    "request",
}


def answered(planner: Planner, operation: str, **params: Any) -> dict[str, Any]:
    *events, last = list(operate(planner, operation, params, never))
    assert isinstance(last, Answer)
    assert events[0] == Phase("planning", 0, "cpu", "float32")
    assert any(isinstance(event, Step) for event in events)
    return dict(last.value)


def test_inspire_gives_a_song_and_its_request(planner: Planner) -> None:
    song = answered(planner, "lm_inspire", query="a rainy Tuesday", vocal_language="no", seed=4)
    assert set(song) == SHEET
    assert song["vocal_language"] == "no"
    assert song["seed"] == 4
    assert is_legal("bpm", song["bpm"]) and is_legal("keyscale", song["keyscale"])
    request = song["request"]
    assert request["backend"] == "ace_step_15"
    assert {name: request[name] for name in ("bpm", "keyscale")} == {
        name: song[name] for name in ("bpm", "keyscale")
    }
    assert song == answered(
        planner, "lm_inspire", query="a rainy Tuesday", vocal_language="no", seed=4
    )


def test_an_instrumental_wish_is_kept(planner: Planner) -> None:
    song = answered(planner, "lm_inspire", query="rain", instrumental=True, seed=1)
    assert song["instrumental"] is True
    assert song["request"]["lyrics"] == ""


def test_format_keeps_what_is_given(planner: Planner) -> None:
    given = {
        "bpm": 71,
        "duration_sec": 33.0,
        "keyscale": "Bb minor",
        "timesignature": "3",
        "vocal_language": "fr",
    }
    song = answered(planner, "lm_format", prompt="latin pop", lyrics="[Verse]\nhola", **given)
    assert {name: song[name] for name in given} == {**given, "duration_sec": 33}
    assert 0 <= song["seed"] < 2**32


def test_understand_takes_codes_or_a_source(planner: Planner) -> None:
    given = answered(planner, "lm_understand", audio_codes="1, 2 3", seed=5)
    assert given["audio_codes"] == [1, 2, 3]
    assert given["duration_sec"] == 0.6
    assert "audio_codes" not in given["request"]  # too short to be made
    longer = answered(planner, "lm_understand", audio_codes=[1, 2] * 30, seed=5)["request"]
    request = recipe.resolve(longer, World(), draw_seed=lambda: 1)
    assert not request.warnings
    assert request.takes[0].recipe["duration_sec"] == 12

    def codes_of() -> Events[list[int]]:
        yield Phase("encoding")
        return [1, 2, 3]

    *events, last = operate(planner, "lm_understand", {"seed": 5}, never, codes_of=codes_of)
    assert Phase("encoding") in events
    assert isinstance(last, Answer)
    assert last.value == given
    with pytest.raises(InvalidParams, match="source"):
        list(operate(planner, "lm_understand", {}, never))


@pytest.mark.parametrize("codes", ["1,64000", "1,x", [1, -2], [1.5], "<|audio_code_64000|>"])
def test_codes_out_of_range_are_refused(planner: Planner, codes: Any) -> None:
    with pytest.raises(InvalidParams, match="audio code"):
        list(operate(planner, "lm_understand", {"audio_codes": codes}, never))


@pytest.mark.parametrize(
    ("name", "value"),
    [("keyscale", "H major"), ("vocal_language", "klingon"), ("bpm", 301), ("timesignature", 5)],
)
def test_what_the_model_never_learned_is_refused(planner: Planner, name: str, value: Any) -> None:
    with pytest.raises(InvalidParams) as raised:
        list(operate(planner, "lm_format", {"prompt": "x", name: value}, never))
    assert raised.value.data["param"] == name
    assert raised.value.hint


def test_a_short_duration_is_refused(planner: Planner) -> None:
    with pytest.raises(InvalidDuration):
        list(operate(planner, "lm_format", {"prompt": "x", "duration_sec": 5}, never))


def test_codes_are_planned_without_rendering(planner: Planner) -> None:
    params = {"prompt": "lofi", "duration_sec": 10.1, "bpm": 80, "lm_seed": 3, "seed": 9}
    plan = answered(planner, "lm_codes", **params)
    assert len(plan["audio_codes"]) == 51
    assert plan["metas"]["bpm"] == 80
    assert plan["metas"]["duration_sec"] == 10.1
    assert plan["seed"] == 3
    with pytest.raises(InvalidDuration):
        list(operate(planner, "lm_codes", {"prompt": "x", "duration_sec": 5}, never))


class Scribbler(Planner):
    """Writes whatever it was told to."""

    def __init__(self, answer: str) -> None:
        super().__init__()
        self._answer = answer

    def inspire(self, *words: Any, **asked: Any) -> Events[Written]:
        yield Phase("planning", 0, "cpu", "float32")
        return read(self._answer)


@settings(deadline=None)
@given(
    caption=st.text(max_size=60),
    lyrics=st.text(max_size=60),
    times=st.sampled_from((1, 30, 200)),
    query=st.text(min_size=1, max_size=1000).filter(str.strip),
)
def test_whatever_was_written_can_be_made(
    caption: str, lyrics: str, times: int, query: str
) -> None:
    answer = f"<think>\ncaption: {caption * times}\n</think>\n{lyrics * times}<|im_end|>"
    *_, last = operate(Scribbler(answer), "lm_inspire", {"query": query, "seed": 1}, never)
    assert isinstance(last, Answer)
    request = recipe.resolve(last.value["request"], World(), draw_seed=lambda: 1)
    made = request.takes[0].recipe
    assert made["prompt"] == last.value["prompt"]
    for text in (made["prompt"], made["lyrics"]):
        assert all(char in "\n\t" or unicodedata.category(char) != "Cc" for char in text)


def test_long_words_are_cut_where_one_ends() -> None:
    answer = f"<think>\ncaption: {'soft rain ' * 150}\n</think>\n" + "la la la\n" * 900
    *_, last = operate(Scribbler(answer), "lm_inspire", {"query": "x", "seed": 1}, never)
    assert isinstance(last, Answer)
    assert last.value["prompt"] == " ".join(["soft rain"] * 100)
    assert last.value["lyrics"] == "\n".join(["la la la"] * 455)


def test_other_operations_are_not_the_planners(planner: Planner) -> None:
    with pytest.raises(MethodNotFound):
        list(operate(planner, "analyze", {}, never))


def test_seeds_are_drawn_when_none_is_given(planner: Planner) -> None:
    events: list[Event] = list(operate(planner, "lm_inspire", {"query": "x", "seed": -1}, never))
    assert isinstance(events[-1], Answer)
    assert 0 <= events[-1].value["seed"] < 2**32
