"""What goes wrong with ACE-Step v1, provoked for real: a daemon, a worker, a damaged checkpoint."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from tests.checkpoints.ace_step_v1 import write_checkpoint
from tests.daemon.callers import REPO, Caller, Home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ASKED: dict[str, Any] = {
    "prompt": "rain on a window, felt piano",
    "backend": "ace-step",
    "duration_sec": 5,
    "infer_steps": 2,
    "seed": 3,
    "auto_play": False,
}
WEIGHTS = "diffusion_pytorch_model.safetensors"


class Studio:
    """A daemon with v1 in a folder of its own."""

    def __init__(self, home: Home, models: Path) -> None:
        self.models = models
        home.environment["LOFI_ACE_STEP_MODEL_PATH"] = str(models)
        process = subprocess.Popen(
            [sys.executable, "-m", "lofi", "daemon"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=home.environment,
            cwd=REPO,
        )
        assert process.stdin is not None and process.stdout is not None
        self.daemon = Caller(process.stdin.fileno(), process.stdout.fileno(), process, None)
        self.daemon.initialize()

    def ending(self, **params: Any) -> tuple[str, dict[str, Any]]:
        """Renders; returns the terminal notification's method and params."""
        self.daemon.messages.clear()
        answer = self.daemon.call("generate", **{**ASKED, "force": True, **params})
        return self.daemon.ending(answer["track_id"], 120)

    def error(self, **params: Any) -> dict[str, Any]:
        """Renders what must fail; returns `generation_error`'s params."""
        method, params = self.ending(**params)
        assert method == "generation_error", (method, params)
        assert params["hint"], "it says what to do"
        return params

    def works(self) -> None:
        """The daemon went on: the same request makes its track."""
        method, params = self.ending()
        assert method == "generation_complete", params
        assert soundfile.info(params["path"]).frames == 5 * 48000


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def studio(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    home = Home()
    models = tmp_path_factory.mktemp("own") / "ace-step"
    opened = Studio(home, Path(shutil.copytree(published, models)))
    yield opened
    opened.daemon.close()
    home.close()


@pytest.fixture
def file(studio: Studio, published: Path) -> Iterator[Path]:
    """The transformer's weights, to be damaged; nothing is in memory. Whole again afterwards."""
    path = studio.models / "ace_step_transformer" / WEIGHTS
    studio.daemon.call("backend_unload", backend="ace_step")
    yield path
    shutil.copyfile(published / "ace_step_transformer" / WEIGHTS, path)
    studio.daemon.call("backend_unload", backend="ace_step")
    studio.works()


@pytest.mark.parametrize("seconds", [4.9, 240.1, 0, -1, 1e9])
def test_invalid_duration(studio: Studio, seconds: float) -> None:
    error = studio.daemon.refused("generate", **{**ASKED, "duration_sec": seconds})
    assert (error["code"], error["data"]["code"]) == (-32005, "INVALID_DURATION")
    assert "5..240 s" in error["data"]["hint"]


@pytest.mark.parametrize("seconds", [5, 240])
def test_the_ends_of_the_range_are_taken(studio: Studio, seconds: float) -> None:
    answer = studio.daemon.call("generate", **{**ASKED, "duration_sec": seconds, "seed": 99})
    assert answer["status"] == "queued" and answer["model_version"].startswith("ace-step-v1-3.5b")
    studio.daemon.call("cancel", track_id=answer["track_id"])
    studio.daemon.ending(answer["track_id"])


def test_queue_full(studio: Studio) -> None:
    accepted: list[str] = []
    while True:
        answer = studio.daemon.answer(
            studio.daemon.send("generate", **{**ASKED, "duration_sec": 240, "force": True,
                                              "seed": 1000 + len(accepted)})
        )  # fmt: skip
        if "error" in answer:
            break
        accepted.append(answer["result"]["track_id"])
    error = answer["error"]
    assert (error["code"], error["data"]["code"]) == (-32004, "QUEUE_FULL")
    assert error["data"]["retryable"] and len(accepted) in (10, 11)
    for track in reversed(accepted):
        studio.daemon.call("cancel", track_id=track)
    for track in accepted:
        studio.daemon.ending(track)
    studio.works()


def test_model_not_found(studio: Studio) -> None:
    error = studio.error(lyrics="la la la", vocal_language="en")
    assert error["code"] == "MODEL_NOT_FOUND" and "vocab.json" in error["message"]
    assert "setup ace-step" in error["hint"]
    studio.works()


def test_model_load_failed(studio: Studio, file: Path) -> None:
    data = file.read_bytes()
    file.unlink()
    tensors = load_file(studio.models / "music_vocoder" / WEIGHTS)
    save_file(tensors, file)
    error = studio.error()
    assert error["code"] == "MODEL_LOAD_FAILED" and str(file) in error["message"]
    file.write_bytes(data)


def test_model_inference_failed(studio: Studio, file: Path) -> None:
    tensors = load_file(file)
    name = "final_layer.linear.weight"
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, file)
    error = studio.error()
    assert error["code"] == "MODEL_INFERENCE_FAILED" and "no numbers" in error["message"]


def test_a_missing_part_is_not_installed(studio: Studio, file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    error = studio.daemon.refused("generate", **{**ASKED, "force": True})
    assert error["data"]["code"] == "BACKEND_NOT_INSTALLED"
    assert "setup ace-step" in error["data"]["hint"]
    file.with_name("elsewhere").unlink()
