"""Weights from disk into modules: safetensors, whole or sharded, mapped and checked name by name.

It reads the files itself, so that a cut or foreign one is named with its tensor, and so that the
pages of a tensor that was cast can be given back at once.
"""

from __future__ import annotations

import json
import math
import mmap
import pickle
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lofi.errors import ModelLoadFailed, ModelNotFound
from lofi.worker.backend import Check, nothing

SINGLE = ("model.safetensors", "diffusion_pytorch_model.safetensors", "pytorch_model.safetensors")
HEADER_LIMIT_BYTES = 100 * 1024 * 1024
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a file, as its header says."""

    file: Path
    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    """First byte in the file."""
    stop: int


def weight_files(folder: Path) -> list[Path]:
    """Returns the safetensors files of a component: one, or every shard of its index.

    Raises:
        ModelNotFound: there is none, or a shard is missing.
        ModelLoadFailed: the index cannot be read.
    """
    if folder.is_file():
        return [folder]
    for name in SINGLE:
        if (folder / name).is_file():
            return [folder / name]
    for index in (folder / f"{name}.index.json" for name in SINGLE):
        if index.is_file():
            try:
                shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
            except (ValueError, KeyError, AttributeError) as error:
                raise ModelLoadFailed(f"{index} is no index of shards: {error}") from error
            for shard in shards:
                if not (folder / shard).is_file():
                    raise _not_found(folder / shard)
            return [folder / shard for shard in shards]
    raise _not_found(folder / SINGLE[0])


def read_header(path: Path) -> list[Entry]:
    """Returns the tensors of one safetensors file in the order of their bytes.

    Raises:
        ModelNotFound: the file does not exist.
        ModelLoadFailed: it is cut short or no safetensors file.
    """
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            (length,) = struct.unpack("<Q", file.read(8).ljust(8, b"\0"))
            if not 2 <= length <= min(size - 8, HEADER_LIMIT_BYTES):
                raise ModelLoadFailed(f"{path} is cut short or no safetensors file")
            header = json.loads(file.read(length))
        base = 8 + length
        entries = [
            Entry(
                path,
                name,
                DTYPES[facts["dtype"]],
                tuple(facts["shape"]),
                base + facts["data_offsets"][0],
                base + facts["data_offsets"][1],
            )
            for name, facts in header.items()
            if name != "__metadata__"
        ]
    except FileNotFoundError as error:
        raise _not_found(path) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ModelLoadFailed(f"{path} has no readable header: {error}") from error
    for entry in entries:
        if entry.stop - entry.start != math.prod(entry.shape) * entry.dtype.itemsize:
            raise ModelLoadFailed(
                f"{path}: the bytes of {entry.name} do not fit its shape", tensor=entry.name
            )
        if entry.stop > size:
            raise ModelLoadFailed(
                f"{path} is cut short: {entry.name} ends at byte {entry.stop} of {size}",
                hint="Fetch the file again; it is not whole.",
                tensor=entry.name,
            )
    return sorted(entries, key=lambda entry: entry.start)


def tensors(path: Path, check: Check = nothing) -> Iterator[tuple[Entry, Tensor]]:
    """Yields each tensor of a component, mapped from its file and copied by no one.

    The tensor lives as long as it is referenced; copy it (`.to(...)`) and drop it to let its
    pages go.
    """
    for file in weight_files(path):
        entries = read_header(file)
        with file.open("rb") as handle:
            data = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        with warnings.catch_warnings():
            # "The given buffer is not writable": it is not, and nobody writes.
            warnings.simplefilter("ignore", UserWarning)
            flat = torch.frombuffer(data, dtype=torch.uint8)
        for entry in entries:
            check()
            yield entry, _view(flat, entry)
            _forget(data, entry)


def read_tensors(path: Path, check: Check = nothing) -> dict[str, Tensor]:
    """Returns all tensors of a component by name, mapped from the file."""
    return {entry.name: tensor for entry, tensor in tensors(path, check)}


def load(
    module: nn.Module,
    path: Path,
    *,
    dtype: torch.dtype | Callable[[str], torch.dtype],
    device: str = "cpu",
    rename: Callable[[str], str | None] | None = None,
    fold: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] | None = None,
    check: Check = nothing,
) -> int:
    """Fills a module built on the meta device, strictly, and returns the bytes of its weights.

    Each tensor is cast and moved as it is read, so that host memory never holds a second copy.
    A tensor that is right as it lies on disk stays mapped.

    Args:
        path: a component's folder or one file.
        dtype: of the floating tensors, or a function of the name in the module.
        rename: a name on disk to the module's own, None to leave the tensor out.
        fold: turns all (renamed, not yet cast) tensors into the module's; for small components,
            as all of them are read first. It raises KeyError for one that it misses.

    Raises:
        ModelNotFound: a file is missing.
        ModelLoadFailed: a file is broken, or a tensor is missing, unknown or of another shape.
    """
    expected = dict(module.state_dict())
    wanted = dtype if callable(dtype) else lambda _: dtype
    files: dict[str, Path] = {}
    got: dict[str, Tensor] = {}

    def named() -> Iterator[tuple[str, Tensor, Path]]:
        for entry, tensor in tensors(path, check):
            name = rename(entry.name) if rename is not None else entry.name
            if name is not None:
                yield name, tensor, entry.file

    source: Iterator[tuple[str, Tensor, Path]] = named()
    if fold is not None:
        source = iter(_folded(fold, source, path))
    for name, tensor, file in source:
        if name not in expected:
            raise ModelLoadFailed(
                f"{file} has a tensor {name} that this model does not know",
                hint="Is it another variant's file? Check the folder's config.json.",
                tensor=name,
            )
        if tensor.shape != expected[name].shape:
            raise ModelLoadFailed(
                f"{file}: {name} is {list(tensor.shape)}, the model needs "
                f"{list(expected[name].shape)}",
                hint="Is it another variant's file? Check the folder's config.json.",
                tensor=name,
            )
        if tensor.is_floating_point():
            tensor = tensor.to(wanted(name))
        got[name] = tensor.to(device)
        files[name] = file
    missing = [name for name in expected if name not in got]
    if missing:
        where = next(iter(files.values())) if len(set(files.values())) == 1 else path
        raise ModelLoadFailed(
            f"{where} lacks the tensor {missing[0]}"
            + (f" and {len(missing) - 1} more" if len(missing) > 1 else ""),
            hint="Fetch the file again, or name the folder of the right variant.",
            tensor=missing[0],
        )
    module.load_state_dict(got, strict=True, assign=True)
    module.requires_grad_(False)
    module.eval()
    return sum(tensor.nbytes for tensor in got.values())


def _folded(
    fold: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    source: Iterator[tuple[str, Tensor, Path]],
    path: Path,
) -> list[tuple[str, Tensor, Path]]:
    stored: dict[str, Tensor] = {}
    files: set[Path] = set()
    for name, tensor, file in source:
        stored[name] = tensor
        files.add(file)
    where = files.pop() if len(files) == 1 else path
    try:
        return [(name, tensor, where) for name, tensor in fold(stored).items()]
    except KeyError as error:
        missed = str(error.args[0])
        found = stored.get(missed)
        raise ModelLoadFailed(
            f"{where} lacks the tensor {missed}"
            if found is None
            else f"{where}: {missed} is {list(found.shape)}, which fits no weight of its own",
            hint="Fetch the file again; it is not whole.",
            tensor=missed,
        ) from error


def own_bytes(module: nn.Module) -> int:
    """Returns the bytes of the weights that are not mapped: a file's the system may take back."""
    tensors = [*module.parameters(), *module.buffers()]
    # a mapped tensor is a stretch of its whole file
    return sum(t.nbytes for t in tensors if t.untyped_storage().nbytes() == t.nbytes)


def cast_bytes(path: Path, dtype: torch.dtype) -> int:
    """Returns what a component's floating tensors take when `load` casts them to `dtype`.

    Raises:
        ModelNotFound, ModelLoadFailed: as `load` does.
    """
    entries = [entry for file in weight_files(path) for entry in read_header(file)]
    return sum(
        math.prod(entry.shape) * dtype.itemsize
        for entry in entries
        if entry.dtype.is_floating_point and entry.dtype != dtype
    )


def load_pickle(path: Path) -> Any:
    """Returns the tensors of a `.pt` file, which may hold nothing but data.

    Raises:
        ModelNotFound: the file does not exist.
        ModelLoadFailed: it is broken or holds code.
    """
    if not path.is_file():
        raise _not_found(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ModelLoadFailed(f"{path} cannot be read: {error}") from error


def _view(flat: Tensor, entry: Entry) -> Tensor:
    data = flat[entry.start : entry.stop]
    if entry.start % entry.dtype.itemsize:  # a header of an odd length
        data = data.clone()
    return data.view(entry.dtype).view(entry.shape)


def _forget(data: mmap.mmap, entry: Entry) -> None:
    # Only advice: pages that are still referenced are read again from the file.
    if hasattr(mmap, "MADV_DONTNEED"):
        start = entry.start - entry.start % mmap.PAGESIZE
        data.madvise(mmap.MADV_DONTNEED, start, entry.stop - start)


def _not_found(path: Path) -> ModelNotFound:
    return ModelNotFound(
        f"{path} does not exist",
        hint="Run :Lofi setup, or point LOFI_ACE_STEP_15_MODEL_PATH, LOFI_ACE_STEP_MODEL_PATH or "
        "LOFI_MODEL_PATH to the folder of the weights.",
        path=str(path),
    )
