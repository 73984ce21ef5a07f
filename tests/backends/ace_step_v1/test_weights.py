"""Loading the published layout: strict, and every fault named by file and tensor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lofi.backends.ace_step_v1 import weights
from lofi.errors import ModelLoadFailed, ModelNotFound
from tests.checkpoints.ace_step_v1 import write_checkpoint

LOADERS = {
    weights.TRANSFORMER: weights.load_transformer,
    weights.TEXT_ENCODER: weights.load_text_encoder,
    weights.AUTOENCODER: weights.load_autoencoder,
    weights.VOCODER: weights.load_vocoder,
}
PARTS = sorted(LOADERS)


def nothing() -> None:
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("v1"))


@pytest.fixture
def models(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "models"))


def file_of(models: Path, part: str) -> Path:
    return next((models / part).glob("*.safetensors"))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_loads_in_the_precision_asked_for(part: str, whole: Path) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        module = LOADERS[part](whole, dtype, nothing)
        assert {parameter.dtype for parameter in module.parameters()} == {dtype}
        assert not any(p.is_meta or p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("part", PARTS)
def test_each_tensor_is_a_place_to_stop(part: str, whole: Path) -> None:
    count = 0

    def check() -> None:
        nonlocal count
        count += 1

    LOADERS[part](whole, torch.float32, check)
    assert count >= len(load_file(file_of(whole, part)))


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_file_is_named(part: str, models: Path) -> None:
    file_of(models, part).unlink()
    with pytest.raises(ModelNotFound, match=part) as caught:
        LOADERS[part](models, torch.float32, nothing)
    assert "LOFI_ACE_STEP_MODEL_PATH" in caught.value.hint


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_config_is_named(part: str, models: Path) -> None:
    (models / part / "config.json").unlink()
    with pytest.raises(ModelNotFound, match=rf"{part}/config\.json"):
        LOADERS[part](models, torch.float32, nothing)


@pytest.mark.parametrize("part", PARTS)
def test_a_cut_file_is_named(part: str, models: Path) -> None:
    file = file_of(models, part)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelLoadFailed, match=rf"{part}.*cut short"):
        LOADERS[part](models, torch.float32, nothing)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fault", ["missing", "shape", "unknown"])
def test_a_wrong_tensor_is_named(part: str, fault: str, models: Path) -> None:
    file = file_of(models, part)
    tensors = load_file(file)
    name = next(
        name
        for name in sorted(tensors)
        if weights.is_used(name) and not name.startswith("mel_") and tensors[name].dim() == 2
    )
    if fault == "missing":
        del tensors[name]
    elif fault == "shape":
        tensors[name] = tensors[name][:-1].clone()
    else:
        name = "further.weight"
        tensors[name] = torch.zeros(2)
    save_file(tensors, file)
    with pytest.raises(ModelLoadFailed) as caught:
        LOADERS[part](models, torch.float32, nothing)
    assert part in caught.value.message
    assert caught.value.data["tensor"] == name


def test_a_gain_without_its_direction_is_named(models: Path) -> None:
    file = file_of(models, weights.VOCODER)
    tensors = load_file(file)
    del tensors["head.conv_pre.weight_g"]
    save_file(tensors, file)
    with pytest.raises(ModelLoadFailed) as caught:
        weights.load_vocoder(models, torch.float32, nothing)
    assert caught.value.data["tensor"] == "head.conv_pre.weight_g"


def test_files_without_constants_and_training_heads_load_too(models: Path) -> None:
    for part in (weights.VOCODER, weights.TRANSFORMER):
        file = file_of(models, part)
        kept = {
            name: tensor
            for name, tensor in load_file(file).items()
            if weights.is_used(name) and not name.startswith("mel_transform.")
        }
        save_file(kept, file)
        LOADERS[part](models, torch.float32, nothing)


@pytest.mark.parametrize("part", [weights.TRANSFORMER, weights.AUTOENCODER, weights.VOCODER])
def test_a_config_that_cannot_be_used_is_named(part: str, models: Path) -> None:
    file = models / part / "config.json"
    values = json.loads(file.read_text())
    file.write_text("{")
    with pytest.raises(ModelLoadFailed, match=r"config\.json cannot be used"):
        LOADERS[part](models, torch.float32, nothing)
    del values[sorted(values)[0]]
    file.write_text(json.dumps(values))
    with pytest.raises(ModelLoadFailed, match=r"config\.json lacks"):
        LOADERS[part](models, torch.float32, nothing)


def test_the_tokenizer_is_found_or_named(models: Path) -> None:
    assert weights.load_tokenizer(models).encode("rain").ids
    file = models / weights.TEXT_ENCODER / "tokenizer.json"
    file.write_text("[]")
    with pytest.raises(ModelLoadFailed, match="tokenizer"):
        weights.load_tokenizer(models)
    file.unlink()
    with pytest.raises(ModelNotFound, match="tokenizer"):
        weights.load_tokenizer(models)
