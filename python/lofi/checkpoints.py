"""What lies on disk of a model: whole or not, which family, and a fingerprint of the weights.

Torch-free: it reads small configs, the headers of safetensors files, and file sizes.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lofi.catalog import LM_SIZES, Backend, Variant, lm_component
from lofi.recipe.request import Checkpoint

RECORD = "lofi-revision.json"
"""Written into a component by setup: whence it came, at which revision, sizes and digests."""
SINGLE_WEIGHTS = ("model.safetensors", "diffusion_pytorch_model.safetensors")
FURTHER_FILES = {
    "acestep-v15-": ("silence_latent.pt",),
    "Qwen3-Embedding": ("tokenizer.json",),
    "acestep-5Hz-lm": ("tokenizer.json",),
    "umt5-base": ("tokenizer.json",),
}
"""Files a component needs beside its config and weights, by the start of its name."""
HEADER_LIMIT_BYTES = 100 * 1024 * 1024
FINGERPRINT_EDGE_BYTES = 1024 * 1024
FINGERPRINT_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Component:
    """One folder of a model. `problem` says in words why it is not whole."""

    name: str
    path: Path
    size_bytes: int
    status: str
    """`present`, `missing` or `broken`."""
    problem: str | None = None


def inspect(models: Path, name: str) -> Component:
    """Returns what is there of one component of the folder `models`."""
    folder = models / name
    if not folder.is_dir():
        return Component(name, folder, 0, "missing", f"{folder} does not exist")
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    try:
        for path in files_of(folder):
            if not path.is_file():
                return Component(name, folder, size, "broken", f"{path} is missing")
            if path.suffix == ".safetensors":
                read_header(path)
    except ValueError as error:
        return Component(name, folder, size, "broken", str(error))
    except OSError as error:
        return Component(name, folder, size, "broken", f"{error.filename}: {error.strerror}")
    return Component(name, folder, size, "present")


def files_of(folder: Path) -> list[Path]:
    """Returns every file the component must have, whether it is there or not.

    Raises:
        ValueError: its index of shards cannot be read.
    """
    files = [folder / "config.json"]
    index = next(iter(sorted(folder.glob("*.safetensors.index.json"))), None)
    single = next((folder / name for name in SINGLE_WEIGHTS if (folder / name).is_file()), None)
    if single is not None:
        files.append(single)
    elif index is not None:
        files += [index, *(folder / shard for shard in _shards(index))]
    else:
        files.append(folder / SINGLE_WEIGHTS[0])
    for start, names in FURTHER_FILES.items():
        if folder.name.startswith(start):
            files += [folder / name for name in names]
    return files


def _shards(index: Path) -> list[str]:
    try:
        return sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index} is no index of shards") from error


def read_header(path: Path) -> dict[str, Any]:
    """Returns the header of a safetensors file.

    Raises:
        ValueError: the header is not one, or the file is shorter or longer than it says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else HEADER_LIMIT_BYTES + 1
        if length > min(HEADER_LIMIT_BYTES, size):
            raise ValueError(f"{path} is not a whole safetensors file")
        try:
            header = json.loads(file.read(length))
            ends = [
                item["data_offsets"][1] for name, item in header.items() if name != "__metadata__"
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} has a broken safetensors header") from error
    wanted = 8 + length + max(ends, default=0)
    if size != wanted:
        raise ValueError(f"{path} has {size} bytes where its header says {wanted}")
    assert isinstance(header, dict)
    return header


def checkpoint(models: Path, backend: Backend, variant: Variant) -> Checkpoint | None:
    """Returns the variant's weights in the folder `models`, None if they are not whole."""
    components = [inspect(models, name) for name in variant.components]
    if not components or any(component.status != "present" for component in components):
        return None
    version = backend.model_version(variant.name)
    if not all(is_pinned(component.path) for component in components):
        version += "+" + fingerprint(component.path for component in components)
    sizes: tuple[str, ...] = ()
    if backend.type == "ace_step_15":
        sizes = tuple(
            size for size in LM_SIZES if inspect(models, lm_component(size)).status == "present"
        )
    return Checkpoint(variant.name, _family(components[0].path, variant), version, sizes)


def record(folder: Path) -> dict[str, Any]:
    """Returns what setup noted when it brought the component; nothing if it did not."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def is_pinned(folder: Path) -> bool:
    """Returns whether these are the published weights this version knows of."""
    return (folder / RECORD).is_file() and record(folder).get("pinned", True) is True


def revision_of(folder: Path) -> str | None:
    """Returns the commit that setup brought, None where nobody knows."""
    found = record(folder).get("revision")
    return found if isinstance(found, str) else None


def _family(folder: Path, variant: Variant) -> str:
    """`is_turbo`, and nothing else, decides whether guidance applies."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return variant.family
    is_turbo = config.get("is_turbo") if isinstance(config, dict) else None
    if is_turbo is True:
        return "turbo"
    if is_turbo is False and variant.family == "turbo":
        return "sft"
    return variant.family


def fingerprint(folders: Iterable[Path]) -> str:
    """Returns 8 hex digits that name the weights: configs, headers, sizes, edges of each file."""
    total = hashlib.sha256()
    for folder in folders:
        for path in files_of(folder):
            stat = path.stat()
            total.update(_file_print(path, stat.st_size, stat.st_mtime_ns))
    return total.hexdigest()[:FINGERPRINT_DIGITS]


@lru_cache(maxsize=256)
def _file_print(path: Path, size: int, mtime_ns: int) -> bytes:
    """Remembered by size and time of change: the daemon asks for it at every request."""
    part = hashlib.sha256(f"{path.name}:{size}:".encode())
    with path.open("rb") as file:
        if path.suffix == ".safetensors":
            (length,) = struct.unpack("<Q", file.read(8))
            part.update(file.read(length))
            file.seek(0)
        part.update(file.read(FINGERPRINT_EDGE_BYTES))
        file.seek(max(0, size - FINGERPRINT_EDGE_BYTES))
        part.update(file.read(FINGERPRINT_EDGE_BYTES))
    return part.digest()
