"""The published layouts, and what is said of files that are not right."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lofi.backends.ace_step_15 import Pipeline, Request
from lofi.backends.ace_step_15.weights import open_bundle
from lofi.errors import ModelLoadFailed, ModelNotFound
from tests.backends.ace_step_15.jobs import model
from tests.checkpoints.ace_step_15 import write_bundle, write_text


def rendered(folder: Path, variant: str = "turbo", *, bf16: bool = False) -> np.ndarray:
    pipeline = Pipeline.open(folder, variant, model=model(folder, variant, bf16=bf16))
    return pipeline.generate(Request(prompt="rain", duration_sec=1, seed=5, steps=1))


def test_bundle_root_and_shards_hold_the_same_model(turbo: Path, tmp_path: Path) -> None:
    plain = rendered(turbo)
    root = write_bundle(tmp_path / "root", at_root=True)
    assert (root / "model.safetensors").is_file()
    assert np.array_equal(rendered(root), plain)
    shards = write_bundle(tmp_path / "shards", shards=3)
    assert (shards / "acestep-v15-turbo" / "model.safetensors.index.json").is_file()
    assert np.array_equal(rendered(shards), plain)


def test_float32_files_and_prefixed_names_load(turbo: Path, tmp_path: Path) -> None:
    wide = write_bundle(tmp_path / "wide", dtype=torch.float32)
    write_text(wide / "Qwen3-Embedding-0.6B", is_full=False, seed=0, prefix="model.")
    # cast while reading, a float32 file gives what the bfloat16 one holds
    assert np.array_equal(rendered(wide, bf16=True), rendered(turbo, bf16=True))


@pytest.mark.parametrize(
    "gone",
    [
        "vae",
        "Qwen3-Embedding-0.6B/tokenizer.json",
        "Qwen3-Embedding-0.6B/config.json",
        "acestep-v15-turbo/silence_latent.pt",
        "acestep-v15-turbo/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, gone: str) -> None:
    folder = write_bundle(tmp_path)
    path = folder / gone
    if path.is_dir():
        path.rename(folder / "elsewhere")
    else:
        path.unlink()
    with pytest.raises(ModelNotFound, match=Path(gone).name.split(".")[0]):
        rendered(folder)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, shards=3)
    (folder / "acestep-v15-turbo" / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(ModelNotFound, match="model-00002-of-00003"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "file",
    [
        "acestep-v15-turbo/model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "Qwen3-Embedding-0.6B/model.safetensors",
        "acestep-v15-turbo/silence_latent.pt",
        "Qwen3-Embedding-0.6B/tokenizer.json",
        "acestep-v15-turbo/config.json",
    ],
)
def test_a_file_cut_short_is_named(tmp_path: Path, file: str) -> None:
    folder = write_bundle(tmp_path)
    path = folder / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ModelLoadFailed) as caught:
        rendered(folder)
    assert path.name in caught.value.message


@pytest.mark.parametrize("change", ["missing", "shape", "unknown"])
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("acestep-v15-turbo/model.safetensors", "decoder.layers.1.mlp.up_proj.weight"),
        ("vae/diffusion_pytorch_model.safetensors", "decoder.block.1.conv_t1.weight_g"),
        ("Qwen3-Embedding-0.6B/model.safetensors", "layers.0.mlp.up_proj.weight"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    tmp_path: Path, file: str, name: str, change: str
) -> None:
    folder = write_bundle(tmp_path)
    tensors = load_file(folder / file)
    if change == "missing":
        del tensors[name]
    elif change == "shape":
        tensors[name] = torch.zeros(3, 1, 1, dtype=torch.bfloat16)
    else:
        tensors["extra.weight"] = torch.zeros(1)
    save_file(tensors, folder / file)
    with pytest.raises(ModelLoadFailed) as caught:
        rendered(folder)
    stem = "extra" if change == "unknown" else name.removesuffix("_g").removesuffix(".weight")
    assert stem in caught.value.message
    assert Path(file).name in caught.value.message
    assert caught.value.data["tensor"].startswith(stem)


def test_a_variant_in_the_wrong_folder_is_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path, "xl-turbo")
    (folder / "acestep-v15-xl-turbo").rename(folder / "acestep-v15-turbo")
    with pytest.raises(ModelLoadFailed, match="XL"):
        open_bundle(folder, "turbo")


def test_weights_of_another_config_are_named(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path)
    path = folder / "acestep-v15-turbo" / "config.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**raw, "intermediate_size": 128}), encoding="utf-8")
    with pytest.raises(ModelLoadFailed, match="mlp"):
        rendered(folder)
