"""The planner inside the backend: it plans first, then the same stages render."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lofi.backends.ace_step_15 import AceStep15, create
from lofi.errors import LmUnavailable
from lofi.worker.backend import Answer
from tests.backends.ace_step_15.jobs import RATE, model, never, ran, recipe, tone
from tests.checkpoints import ace_step_15_lm
from tests.checkpoints.ace_step_15 import write_bundle

THINKING = {
    "thinking": True,
    "lm_model": "0.6b",
    "lm_seed": 3,
    "lm_temperature": 0.85,
    "lm_cfg_scale": 2.0,
    "lm_top_k": 0,
    "lm_top_p": 0.9,
    "use_cot_metas": True,
    "use_cot_language": True,
    "use_cot_caption": False,
    "constrained": True,
    "duration_sec": 10.0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_bundle(tmp_path_factory.mktemp("thinking"))
    ace_step_15_lm.write(made)
    return made


@pytest.fixture
def backend() -> Iterator[AceStep15]:
    made = create()
    yield made
    made.unload()


def operated(
    backend: AceStep15, folder: Path, operation: str, params: dict[str, Any]
) -> dict[str, Any]:
    events = list(backend.operate(operation, params, model(folder), never))
    assert isinstance(events[-1], Answer)
    return dict(events[-1].value)


def test_a_thought_track_is_planned_then_rendered(backend: AceStep15, folder: Path) -> None:
    done = ran(backend, folder, {**THINKING, "bpm": 77})
    assert "planning" in done.phases
    assert done.phases.index("planning") < done.phases.index("diffusion")
    assert done.samples.shape == (10 * RATE, 2)
    assert done.facts["bpm"] == 77
    fresh = create()
    again = ran(fresh, folder, {**THINKING, "bpm": 77})
    fresh.unload()
    assert np.array_equal(again.samples, done.samples)


def test_takes_share_one_plan(backend: AceStep15, folder: Path) -> None:
    first = ran(backend, folder, {**THINKING, "seed": 1})
    second = ran(backend, folder, {**THINKING, "seed": 2})
    assert "planning" not in second.phases
    assert second.facts == first.facts
    assert not np.array_equal(first.samples, second.samples)


def test_another_planner_thinks_anew(backend: AceStep15, tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    for size in ("0.6B", "1.7B"):
        ace_step_15_lm.write(folder, size, salt=size)
    first = ran(backend, folder, {**THINKING, "seed": 1})
    second = ran(backend, folder, {**THINKING, "seed": 1, "lm_model": "1.7b"})
    assert "planning" in second.phases
    assert second.facts["plan"] != first.facts["plan"]


def test_a_sound_is_understood_through_the_codec(
    backend: AceStep15, folder: Path, tmp_path: Path
) -> None:
    source = tone(tmp_path / "source.wav", 3.0)
    answer = operated(
        backend, folder, "lm_understand", {"source": str(source), "lm_model": "0.6b", "seed": 1}
    )
    assert len(answer["audio_codes"]) == 15
    assert answer["request"]["backend"] == "ace_step_15"


def test_a_track_is_scored_by_the_planner(backend: AceStep15, folder: Path, tmp_path: Path) -> None:
    params = {
        "recipe": recipe(bpm=90),
        "path": str(tone(tmp_path / "track.wav", 2.0)),
        "lm_model": "0.6b",
    }
    answer = operated(backend, folder, "score", params)
    assert answer["lyrics_alignment"] is None
    assert 0 <= answer["prompt_match"] <= 1


def test_without_a_planner_the_operations_say_so(backend: AceStep15, turbo: Path) -> None:
    with pytest.raises(LmUnavailable):
        operated(backend, turbo, "lm_inspire", {"query": "rain"})
    with pytest.raises(LmUnavailable):
        operated(backend, turbo, "lm_inspire", {"query": "rain", "lm_model": "0.6b"})
