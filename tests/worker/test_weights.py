"""Weights from files: whole, sharded, cast, and every way they can be broken."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lofi.errors import GenerationCancelled, LofiError, ModelLoadFailed, ModelNotFound
from lofi.worker.process import memory_bytes, trim
from lofi.worker.weights import load, load_pickle, read_header, read_tensors, weight_files
from tests.weights import fill


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 10)
        self.second = nn.Linear(10, 3, bias=False)
        self.register_buffer("steps", torch.arange(4))


def on_meta() -> Net:
    with torch.device("meta"):
        return Net()


def filled() -> Net:
    net = Net()
    fill(net, "weights")
    return net


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(filled().state_dict(), tmp_path / "model.safetensors")
    return tmp_path


def shard(folder: Path, *parts: Mapping[str, Tensor]) -> None:
    weight_map = {}
    for number, part in enumerate(parts, 1):
        name = f"model-{number:05d}-of-{len(parts):05d}.safetensors"
        save_file(dict(part), folder / name)
        weight_map.update(dict.fromkeys(part, name))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_module_on_the_meta_device_is_filled(folder: Path) -> None:
    net = on_meta()
    size = load(net, folder, dtype=torch.float32)
    for name, tensor in filled().state_dict().items():
        assert torch.equal(net.state_dict()[name], tensor), name
    assert size == sum(tensor.nbytes for tensor in net.state_dict().values())
    assert not net.training
    assert not any(p.requires_grad or p.is_inference() for p in net.parameters())
    with torch.inference_mode():
        assert net.first(torch.ones(2, 6)).shape == (2, 10)


def test_floats_are_cast_and_the_rest_is_not(folder: Path) -> None:
    net = on_meta()
    load(net, folder, dtype=torch.bfloat16)
    assert net.first.weight.dtype is torch.bfloat16
    assert net.steps.dtype is torch.int64
    assert torch.equal(net.first.weight, filled().first.weight.to(torch.bfloat16))


def test_the_dtype_may_depend_on_the_name(folder: Path) -> None:
    net = on_meta()
    load(
        net,
        folder,
        dtype=lambda name: torch.float32 if name.startswith("second") else torch.bfloat16,
    )
    assert (net.first.weight.dtype, net.second.weight.dtype) == (torch.bfloat16, torch.float32)


def test_shards_are_one_model(tmp_path: Path) -> None:
    state = filled().state_dict()
    names = list(state)
    shard(tmp_path, {n: state[n] for n in names[:2]}, {n: state[n] for n in names[2:]})
    net = on_meta()
    load(net, tmp_path, dtype=torch.float32)
    assert torch.equal(net.second.weight, state["second.weight"])
    assert len(weight_files(tmp_path)) == 2


@pytest.mark.parametrize("name", ["model", "diffusion_pytorch_model", "pytorch_model"])
def test_the_names_weights_go_by(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.safetensors"
    save_file(filled().state_dict(), path)
    assert weight_files(tmp_path) == [path] == weight_files(path)


def test_names_can_be_changed_and_left_out(tmp_path: Path) -> None:
    state = {f"model.{name}": tensor for name, tensor in filled().state_dict().items()}
    save_file({**state, "optimizer": torch.ones(3)}, tmp_path / "model.safetensors")
    net = on_meta()

    def rename(name: str) -> str | None:
        return name.removeprefix("model.") if name.startswith("model.") else None

    load(net, tmp_path, dtype=torch.float32, rename=rename)
    assert torch.equal(net.first.bias, filled().first.bias)


def test_tensors_can_be_folded(tmp_path: Path) -> None:
    state = filled().state_dict()
    state["first.half"] = state.pop("first.weight") / 2
    save_file(state, tmp_path / "model.safetensors")

    def fold(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        rest = {name: tensor for name, tensor in tensors.items() if name != "first.half"}
        return {**rest, "first.weight": tensors["first.half"] * 2}

    net = on_meta()
    load(net, tmp_path, dtype=torch.float32, fold=fold)
    assert torch.allclose(net.first.weight, filled().first.weight)


def expect(kind: type[LofiError], path: Path, *words: str) -> LofiError:
    with pytest.raises(kind) as caught:
        load(on_meta(), path, dtype=torch.float32)
    for word in words:
        assert word in caught.value.message, caught.value.message
    assert caught.value.hint
    return caught.value


def test_no_file_at_all(tmp_path: Path) -> None:
    expect(ModelNotFound, tmp_path, "model.safetensors")
    expect(ModelNotFound, tmp_path / "nowhere", "nowhere")


def test_a_missing_shard(tmp_path: Path) -> None:
    state = filled().state_dict()
    shard(tmp_path, dict(list(state.items())[:1]), dict(list(state.items())[1:]))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    expect(ModelNotFound, tmp_path, "model-00002-of-00002.safetensors")


def test_an_index_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text("[1, 2")
    expect(ModelLoadFailed, tmp_path, "index.json")


@pytest.mark.parametrize("keep", [0, 4, 8, 40])
def test_a_file_cut_in_its_header(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    expect(ModelLoadFailed, folder, str(path))


def test_a_file_cut_in_its_data_names_the_tensor(folder: Path) -> None:
    path = folder / "model.safetensors"
    last = read_header(path)[-1]
    path.write_bytes(path.read_bytes()[:-1])
    error = expect(ModelLoadFailed, folder, str(path), last.name, "cut short")
    assert error.data["tensor"] == last.name


def test_a_file_of_another_kind(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"<!DOCTYPE html>" + b"x" * 1000)
    expect(ModelLoadFailed, folder, "model.safetensors")


def test_offsets_that_do_not_fit_the_shape(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}}).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(8)
    (folder / "model.safetensors").write_bytes(data)
    expect(ModelLoadFailed, folder, "bytes of a")


def test_a_dtype_nobody_knows(folder: Path) -> None:
    header = json.dumps({"a": {"dtype": "F3", "shape": [4], "data_offsets": [0, 8]}}).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(8)
    (folder / "model.safetensors").write_bytes(data)
    expect(ModelLoadFailed, folder, "header")


def test_a_missing_tensor(tmp_path: Path) -> None:
    state = filled().state_dict()
    del state["second.weight"], state["first.bias"]
    save_file(state, tmp_path / "model.safetensors")
    expect(ModelLoadFailed, tmp_path, "first.bias", "1 more")


def test_a_tensor_too_many(tmp_path: Path) -> None:
    save_file({**filled().state_dict(), "third": torch.ones(1)}, tmp_path / "model.safetensors")
    expect(ModelLoadFailed, tmp_path, "third", "model.safetensors")


def test_a_tensor_of_another_shape(tmp_path: Path) -> None:
    save_file(
        {**filled().state_dict(), "first.weight": torch.ones(10, 7)},
        tmp_path / "model.safetensors",
    )
    error = expect(ModelLoadFailed, tmp_path, "first.weight", "[10, 7]", "[10, 6]")
    assert error.data["tensor"] == "first.weight"


def test_loading_can_be_cancelled(folder: Path) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise GenerationCancelled("The job was cancelled")

    with pytest.raises(GenerationCancelled):
        load(on_meta(), folder, dtype=torch.float32, check=check)


def test_what_lies_right_on_disk_is_not_copied(tmp_path: Path) -> None:
    size = 64 * 2**20
    save_file({"big": torch.ones(size // 4)}, tmp_path / "model.safetensors")
    trim()
    before = memory_bytes()
    tensors = read_tensors(tmp_path)
    assert float(tensors["big"].sum()) == size // 4
    assert memory_bytes() - before < size // 4


def test_casting_holds_no_second_copy(tmp_path: Path) -> None:
    """Peak of the process's own memory: the cast weights and at most one tensor more."""
    parts = {f"part.{number}": torch.ones(2**20) for number in range(16)}
    save_file(parts, tmp_path / "model.safetensors")
    with torch.device("meta"):
        net = nn.Module()
        net.part = nn.ParameterList([torch.empty(2**20) for _ in range(16)])
    trim()
    before = memory_bytes()
    peaks: list[int] = []
    size = load(
        net, tmp_path, dtype=torch.bfloat16, check=lambda: peaks.append(memory_bytes() - before)
    )
    assert size == 16 * 2**21
    assert max(peaks) < size * 1.15 + 2**22


def test_files_with_an_odd_header_are_read(tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    header += b" " * ((3 - len(header)) % 4)
    data = struct.pack("<Q", len(header)) + header + struct.pack("<2f", 1.5, 2.5)
    (tmp_path / "model.safetensors").write_bytes(data)
    assert read_tensors(tmp_path)["a"].tolist() == [1.5, 2.5]


def test_pickles_hold_data_only(tmp_path: Path) -> None:
    torch.save({"latent": torch.ones(3)}, tmp_path / "silence.pt")
    assert torch.equal(load_pickle(tmp_path / "silence.pt")["latent"], torch.ones(3))
    torch.save({"code": print}, tmp_path / "evil.pt")
    for name, kind in {"evil.pt": ModelLoadFailed, "no.pt": ModelNotFound}.items():
        with pytest.raises(kind, match=name):
            load_pickle(tmp_path / name)
    (tmp_path / "cut.pt").write_bytes((tmp_path / "silence.pt").read_bytes()[:100])
    with pytest.raises(ModelLoadFailed, match=r"cut\.pt"):
        load_pickle(tmp_path / "cut.pt")
