from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lofi.errors import ModelLoadFailed, ModelNotFound
from lofi.worker.weights import load_into, open_component

CPU = torch.device("cpu")


def never() -> None:
    """Lets everything pass."""


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2, bias=False))


def write(folder: Path, *, shards: int = 1, dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(0)
    module = small()
    tensors = {name: tensor.to(dtype) for name, tensor in module.state_dict().items()}
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text('{"size": 4}', encoding="utf-8")
    if shards == 1:
        save_file(tensors, folder / "model.safetensors")
        return module
    files = {name: f"model-{i % shards}.safetensors" for i, name in enumerate(sorted(tensors))}
    for file in set(files.values()):
        part = {name: tensors[name] for name, owner in files.items() if owner == file}
        save_file(part, folder / file)
    index = {"weight_map": files}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    return module


def load(folder: Path, dtype: torch.dtype = torch.float32) -> nn.Module:
    with torch.device("meta"):
        module = small()
    load_into(module, open_component(folder), device=CPU, dtype=dtype, check=never)
    return module


@pytest.mark.parametrize("shards", [1, 2, 3])
def test_a_component_loads_whole_or_in_shards(tmp_path: Path, shards: int) -> None:
    module = write(tmp_path, shards=shards)
    loaded = load(tmp_path).state_dict()
    for name, tensor in module.state_dict().items():
        assert torch.equal(loaded[name], tensor)
    assert open_component(tmp_path).config == {"size": 4}


def test_float32_files_are_cast(tmp_path: Path) -> None:
    module = write(tmp_path)
    loaded = load(tmp_path, torch.bfloat16)
    for name, tensor in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.bfloat16())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path, shards=2)
    (tmp_path / "model-1.safetensors").unlink()
    with pytest.raises(ModelNotFound, match=r"model-1\.safetensors"):
        open_component(tmp_path)


def test_a_missing_folder_says_where_to_put_it(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        open_component(tmp_path / "nowhere")
    assert "LOFI_" in caught.value.hint


@pytest.mark.parametrize("cut", [4, 40, -8])
def test_a_file_cut_short_is_named(tmp_path: Path, cut: int) -> None:
    write(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ModelLoadFailed, match=r"model\.safetensors"):
        open_component(tmp_path)


@pytest.mark.parametrize("change", ["shape", "missing", "unknown", "type"])
def test_a_tensor_that_does_not_fit_is_named(tmp_path: Path, change: str) -> None:
    module = write(tmp_path)
    tensors = dict(module.state_dict())
    name = "1.weight"
    if change == "shape":
        tensors[name] = torch.zeros(2, 4)
    elif change == "missing":
        del tensors[name]
    elif change == "unknown":
        name = "2.weight"
        tensors[name] = torch.zeros(1)
    else:
        tensors[name] = tensors[name].to(torch.int32)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ModelLoadFailed) as caught:
        load(tmp_path)
    assert name in caught.value.message
    assert "model.safetensors" in caught.value.message
    assert caught.value.data["tensor"] == name


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "config.json").write_text("[", encoding="utf-8")
    with pytest.raises(ModelLoadFailed, match=r"config\.json"):
        open_component(tmp_path)
