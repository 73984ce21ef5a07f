from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lofi.daemon.timings import Timings, Work

WORK = Work("cpu", "ace_step", "v1-3.5b", 27, 60.0)


def test_nothing_is_known_of_a_neural_backend_before_its_first_run(tmp_path: Path) -> None:
    timings = Timings(tmp_path / "timings.json")
    assert timings.expect(WORK) is None
    guess = timings.expect(replace(WORK, backend="procedural"))
    assert guess is not None and guess.confidence == "guess"


def test_a_run_is_remembered_across_daemons(tmp_path: Path) -> None:
    timings = Timings(tmp_path / "state" / "timings.json")
    timings.learn(WORK, {"loading": 5.0, "diffusion": 20.0, "decoding": 2.0})
    timings.save()
    again = Timings(tmp_path / "state" / "timings.json").expect(WORK)
    assert again is not None
    assert (again.seconds, again.confidence) == (27.0, "measured")
    assert list(again.phases) == ["loading", "diffusion", "decoding"]


def test_length_and_steps_scale_and_say_so(tmp_path: Path) -> None:
    timings = Timings(tmp_path / "timings.json")
    timings.learn(WORK, {"loading": 5.0, "diffusion": 20.0, "decoding": 2.0})
    longer = timings.expect(replace(WORK, duration_sec=120.0, steps=54))
    assert longer is not None and longer.confidence == "scaled"
    assert longer.phases == {"loading": 5.0, "diffusion": 80.0, "decoding": 4.0}


def test_a_loaded_model_is_not_waited_for_and_does_not_unlearn_loading(tmp_path: Path) -> None:
    timings = Timings(tmp_path / "timings.json")
    timings.learn(WORK, {"loading": 5.0, "diffusion": 20.0})
    timings.learn(WORK, {"loading": 0.01, "diffusion": 20.0})
    warm = timings.expect(replace(WORK, is_loaded=True))
    cold = timings.expect(WORK)
    assert warm is not None and cold is not None
    assert warm.phases["loading"] < 0.5
    assert cold.phases["loading"] == pytest.approx(5.0)


def test_new_runs_count_more_than_old_ones(tmp_path: Path) -> None:
    timings = Timings(tmp_path / "timings.json")
    for seconds in (10.0, 20.0, 20.0):
        timings.learn(WORK, {"diffusion": seconds})
    expected = timings.expect(WORK)
    assert expected is not None and 17 < expected.seconds < 20


@pytest.mark.parametrize("text", ["", "[]", '{"a": 3}', '{"a": [{"steps": -1}]}', "nonsense"])
def test_a_damaged_file_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "timings.json").write_text(text)
    assert Timings(tmp_path / "timings.json").expect(WORK) is None
