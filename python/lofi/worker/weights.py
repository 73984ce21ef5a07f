"""Opens a published component: its config, its safetensors files, its tensors one at a time.

Names and shapes are compared with the module before a byte of any tensor is read. Tensors are
views of the mapped file until they are cast or moved, so host memory never holds them twice.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from lofi.errors import ModelLoadFailed, ModelNotFound
from lofi.worker.backend import Check

CONFIG = "config.json"
INDEX_SUFFIX = ".safetensors.index.json"
HEADER_LIMIT_BYTES = 100 * 1024 * 1024
Rename = Callable[[str], str | None]
"""A stored tensor's name to the module's; None leaves the tensor out."""
_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


@dataclass(frozen=True, slots=True)
class Stored:
    """One tensor on disk."""

    path: Path
    shape: tuple[int, ...]
    dtype: str
    """As safetensors writes it: `BF16`, `F32`, …"""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Component:
    """One folder of a model, its headers read and its files known to be whole."""

    folder: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Stored]

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors as they are stored."""
        return sum(stored.size_bytes for stored in self.tensors.values())

    @property
    def files(self) -> list[Path]:
        """The weight files, each once, in order."""
        return sorted({stored.path for stored in self.tensors.values()})


def as_stored(name: str) -> str | None:
    """The rename that changes nothing."""
    return name


def open_component(folder: Path, weights: str = "model") -> Component:
    """Reads config and headers of a component.

    Args:
        folder: holds `config.json` and the weights.
        weights: stem of the weight files: `model`, `diffusion_pytorch_model`.

    Raises:
        ModelNotFound: a file is not there.
        ModelLoadFailed: a file is cut short or is not what its name says.
    """
    config = read_json(folder / CONFIG)
    tensors: dict[str, Stored] = {}
    for path in _weight_files(folder, weights):
        tensors.update(_header(path))
    return Component(folder, config, tensors)


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object of a component.

    Raises:
        ModelNotFound: the file is not there.
        ModelLoadFailed: it holds no JSON object.
    """
    _exists(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelLoadFailed(f"{path} cannot be read: {error}", path=str(path)) from error
    if not isinstance(value, dict):
        raise ModelLoadFailed(f"{path} holds no JSON object", path=str(path))
    return value


def _exists(path: Path) -> None:
    if path.is_file():
        return
    raise ModelNotFound(
        f"{path} is missing",
        hint="Put the published files there, or point the LOFI_*_MODEL_PATH variable of this "
        "backend to where they are.",
        path=str(path),
    )


def _weight_files(folder: Path, weights: str) -> list[Path]:
    single = folder / f"{weights}.safetensors"
    index = folder / f"{weights}{INDEX_SUFFIX}"
    if single.is_file() or not index.is_file():
        _exists(single)
        return [single]
    mapped = read_json(index).get("weight_map")
    if not isinstance(mapped, dict) or not mapped:
        raise ModelLoadFailed(f"{index} has no weight_map", path=str(index))
    paths = [folder / name for name in sorted({str(shard) for shard in mapped.values()})]
    for path in paths:
        _exists(path)
    return paths


def _header(path: Path) -> dict[str, Stored]:
    """The tensors a file says it has; its size must agree."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > min(HEADER_LIMIT_BYTES, size - 8):
            raise _broken(path, "it is cut short or no safetensors file")
        try:
            header = json.loads(file.read(length))
            header.pop("__metadata__", None)
            found = {
                name: Stored(
                    path,
                    tuple(item["shape"]),
                    item["dtype"],
                    item["data_offsets"][1] - item["data_offsets"][0],
                )
                for name, item in header.items()
            }
            end = max((item["data_offsets"][1] for item in header.values()), default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise _broken(path, "its header is not valid") from error
    if size != 8 + length + end:
        raise _broken(path, f"it has {size} bytes where its header says {8 + length + end}")
    return found


def _broken(path: Path, why: str, **data: Any) -> ModelLoadFailed:
    return ModelLoadFailed(
        f"{path} is broken: {why}",
        hint="Fetch the file again; it does not match what was published.",
        path=str(path),
        **data,
    )


def read_tensors(
    component: Component, check: Check, rename: Rename = as_stored
) -> Iterator[tuple[str, Tensor]]:
    """Yields every tensor, mapped from its file, under its new name.

    Raises:
        ModelLoadFailed: a file changed since its header was read.
    """
    for path in component.files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    check()
                    renamed = rename(name)
                    if renamed is not None:
                        yield renamed, file.get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise _broken(path, str(error)) from error


def must_fit(
    component: Component, expected: Mapping[str, tuple[int, ...]], rename: Rename = as_stored
) -> None:
    """Compares names and shapes on disk with those a module needs.

    Raises:
        ModelLoadFailed: naming the file and the first tensor that is missing, of another shape,
            or not known.
    """
    stored = {
        renamed: item
        for name, item in component.tensors.items()
        if (renamed := rename(name)) is not None
    }
    place = component.files[0] if len(component.files) == 1 else component.folder
    for name, shape in expected.items():
        found = stored.get(name)
        if found is None:
            raise _unfit(place, name, "is missing")
        if found.shape != tuple(shape):
            raise _unfit(found.path, name, f"has shape {list(found.shape)}, not {list(shape)}")
        if found.dtype not in _FLOATS:
            raise _unfit(found.path, name, f"is of type {found.dtype}, no plain number")
    for name, item in stored.items():
        if name not in expected:
            raise _unfit(item.path, name, "belongs to another model")


def _unfit(path: Path, tensor: str, why: str) -> ModelLoadFailed:
    return ModelLoadFailed(
        f"{path}: tensor {tensor} {why}",
        hint="config.json and weights must be of one variant; fetch the component again.",
        path=str(path),
        tensor=tensor,
    )


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a module's parameters and stored buffers."""
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def load_into(
    module: nn.Module,
    component: Component,
    *,
    device: torch.device,
    dtype: torch.dtype,
    check: Check,
    rename: Rename = as_stored,
) -> None:
    """Puts a component's tensors into a module that was built on the meta device.

    Each tensor is cast and moved on its own: a float32 file never lies in memory whole. Call it
    outside inference mode, or a CPU repacks every bfloat16 weight at each use.

    Raises:
        ModelLoadFailed: naming file and tensor.
    """
    must_fit(component, shapes_of(module), rename)
    state = {
        name: placed(tensor, device, dtype)
        for name, tensor in read_tensors(component, check, rename)
    }
    module.load_state_dict(state, strict=True, assign=True)
    module.eval().requires_grad_(False)


def placed(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The tensor on `device`, floating-point ones in `dtype`; the mapped one itself if it is."""
    return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)
