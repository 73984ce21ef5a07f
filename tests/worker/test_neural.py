"""The neural worker on tiny checkpoints: each backend from a recipe to a file, cancel, and EOF."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from lofi.catalog import BACKENDS, Backend, Variant
from lofi.recipe import Checkpoint, resolve
from lofi.wire.frames import Beat, Cancel, Cancelled, Done, Generate, PhaseStarted, StepDone
from lofi.worker.shelf import PACKAGES
from tests.checkpoints import ace_step_15, ace_step_v1, musicgen
from tests.clock import limit
from tests.worker.workers import Worker

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
VARIANTS = {"ace_step_15": "turbo", "ace_step": "v1-3.5b", "musicgen": "small"}


class World:
    """Everything is installed, no planner."""

    def checkpoint(self, backend: Backend, variant: Variant) -> Checkpoint:
        return Checkpoint(variant.name, variant.family, backend.model_version(variant.name))

    def default_backend(self) -> str:
        return "auto"

    def default_variant(self, backend: Backend) -> None:
        return None

    def own_defaults(self, backend: Backend) -> dict[str, Any]:
        return {}

    def fallback(self) -> str:
        return "procedural"

    def default_lm(self) -> str:
        return "none"

    def lm_for_tier(self, installed: tuple[str, ...]) -> None:
        return None


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    (folder / "musicgen").mkdir()
    musicgen.write(folder / "musicgen" / "small")
    return {
        "ace_step_15": ace_step_15.write_bundle(folder / "ace-step-15", "turbo"),
        "ace_step": ace_step_v1.write_checkpoint(folder / "ace-step"),
        "musicgen": folder / "musicgen",
    }


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """One process for all: torch takes seconds to import."""
    folder = tmp_path_factory.mktemp("worker")
    with Worker(folder, role="neural", packages=dict(PACKAGES["neural"])) as started:
        yield started


def job(worker: Worker, models: dict[str, Path], name: str, backend: str, **asked: Any) -> Generate:
    request = resolve(
        {"prompt": "rain on a window, felt piano", "backend": backend, "seed": 7, **asked},
        World(),
        draw_seed=lambda: 7,
    )
    return Generate(
        name,
        request.takes[0].recipe,
        model={"path": str(models[backend]), "variant": VARIANTS[backend], "device": "cpu"},
        spool_path=str(worker.spool(name)),
        file_path=str(worker.file(name)),
    )


def rendered(
    worker: Worker, models: dict[str, Path], name: str, backend: str, **asked: Any
) -> np.ndarray:
    worker.send(job(worker, models, name, backend, duration_sec=5, **asked))
    value = worker.done(name, seconds=120)
    rate = BACKENDS[backend].sample_rate
    assert (value["frames"], value["sample_rate"]) == (5 * rate, rate)
    assert value["devices"]
    assert all(where["device"] == "cpu" for where in value["devices"].values())
    samples, _ = soundfile.read(worker.file(name), dtype="int16")
    return np.asarray(samples)


def test_a_recipe_becomes_a_file_and_again_the_same(
    worker: Worker, models: dict[str, Path]
) -> None:
    first, second = (
        rendered(worker, models, name, "ace_step_15", inference_steps=2) for name in ("a", "b")
    )
    assert np.array_equal(first, second)


def test_one_backend_after_the_other(worker: Worker, models: dict[str, Path]) -> None:
    rendered(worker, models, "v1", "ace_step", inference_steps=2)
    rendered(worker, models, "musicgen", "musicgen")
    assert "unloaded ace_step" in worker.log()


def test_cancel_in_the_middle_of_the_steps(worker: Worker, models: dict[str, Path]) -> None:
    worker.send(job(worker, models, "stop", "ace_step_15", duration_sec=240, inference_steps=20))
    worker.until(
        lambda one: (
            isinstance(one, PhaseStarted) and one.job_id == "stop" and one.phase == "diffusion"
        ),
        60,
    )
    asked = time.monotonic()
    worker.send(Cancel("stop"))
    assert isinstance(worker.ending("stop"), Cancelled)
    assert time.monotonic() - asked < limit(2)
    assert not worker.file("stop").exists() and not worker.spool("stop").exists()
    worker.send(job(worker, models, "after", "ace_step_15", duration_sec=5))
    worker.done("after", seconds=60)


def test_the_end_of_stdin_in_the_middle_of_a_step(worker: Worker, models: dict[str, Path]) -> None:
    worker.send(job(worker, models, "last", "ace_step_15", duration_sec=600, inference_steps=20))
    worker.until(lambda one: isinstance(one, (StepDone, Beat)) and one.job_id == "last", 60)
    closed = time.monotonic()
    worker.close_stdin()
    worker.process.wait(limit(5))
    assert time.monotonic() - closed < limit(1)
    assert not [one for one in worker.of(Done) if one.job_id == "last"]
