"""What lies on disk of a model."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from lofi import checkpoints
from lofi.catalog import BACKENDS

ACE_STEP_15 = BACKENDS["ace_step_15"]
TURBO = ACE_STEP_15.variant("turbo")


def write_weights(path: Path, size: int = 16) -> None:
    header = json.dumps({"w": {"dtype": "F32", "shape": [4], "data_offsets": [0, size]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\1" * size)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in TURBO.components:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text('{"is_turbo": true}')
        weights = "diffusion_pytorch_model" if name == "vae" else "model"
        write_weights(folder / f"{weights}.safetensors")
    (tmp_path / "acestep-v15-turbo" / "silence_latent.pt").write_bytes(b"x")
    (tmp_path / "Qwen3-Embedding-0.6B" / "tokenizer.json").write_text("{}")
    return tmp_path


def test_a_whole_model_is_found_and_named_after_its_weights(models: Path) -> None:
    found = checkpoints.checkpoint(models, ACE_STEP_15, TURBO)
    assert found is not None
    assert found.family == "turbo"
    name, _, digits = found.model_version.partition("+")
    assert name == "ace-step-v1.5-turbo"
    assert len(digits) == 8
    write_weights(models / "vae" / "diffusion_pytorch_model.safetensors", 20)
    other = checkpoints.checkpoint(models, ACE_STEP_15, TURBO)
    assert other is not None
    assert other.model_version != found.model_version


def test_pinned_weights_have_the_published_name(models: Path) -> None:
    for name in TURBO.components:
        (models / name / checkpoints.RECORD).write_text("{}")
    found = checkpoints.checkpoint(models, ACE_STEP_15, TURBO)
    assert found is not None
    assert found.model_version == "ace-step-v1.5-turbo"


def test_the_config_decides_the_family(models: Path) -> None:
    (models / "acestep-v15-turbo" / "config.json").write_text('{"is_turbo": false}')
    found = checkpoints.checkpoint(models, ACE_STEP_15, TURBO)
    assert found is not None
    assert found.family == "sft"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("vae", "config.json"),
        ("acestep-v15-turbo", "silence_latent.pt"),
        ("acestep-v15-turbo", "model.safetensors"),
        ("Qwen3-Embedding-0.6B", "tokenizer.json"),
    ],
)
def test_a_missing_file_is_named(models: Path, name: str, file: str) -> None:
    (models / name / file).unlink()
    component = checkpoints.inspect(models, name)
    assert component.status == "broken"
    assert file in str(component.problem)
    assert checkpoints.checkpoint(models, ACE_STEP_15, TURBO) is None


@pytest.mark.parametrize("cut", [1, 4, 30])
def test_a_truncated_file_is_not_whole(models: Path, cut: int) -> None:
    path = models / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-cut])
    component = checkpoints.inspect(models, "vae")
    assert component.status == "broken"
    assert str(path) in str(component.problem)


def test_every_shard_must_be_there(models: Path) -> None:
    folder = models / "acestep-v15-turbo"
    (folder / "model.safetensors").unlink()
    for shard in ("a.safetensors", "b.safetensors"):
        write_weights(folder / shard)
    index = {"weight_map": {"w": "a.safetensors", "v": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert checkpoints.inspect(models, folder.name).status == "present"
    (folder / "b.safetensors").unlink()
    assert "b.safetensors" in str(checkpoints.inspect(models, folder.name).problem)


def test_garbage_is_broken_not_a_crash(models: Path) -> None:
    (models / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 64)
    assert checkpoints.inspect(models, "vae").status == "broken"
    index = models / "acestep-v15-turbo"
    (index / "model.safetensors").unlink()
    (index / "model.safetensors.index.json").write_text("[]")
    assert checkpoints.inspect(models, index.name).status == "broken"
