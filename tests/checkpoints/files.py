"""Files that every checkpoint has: safetensors written tensor by tensor, a byte-level tokenizer."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
Draw = Callable[[str, tuple[int, ...]], Tensor]
_NAMES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
_POOL = 1 << 22


class Normal:
    """Random weights by a pool of normal numbers: gigabytes of them in seconds.

    Matrices get the standard deviation `gain / sqrt(fan in)`, norms lie around 1, the rest around
    0. `scales` multiplies the tensors whose name contains a key.
    """

    def __init__(
        self, seed: int = 0, gain: float = 1.0, scales: Mapping[str, float] | None = None
    ) -> None:
        self._pool = torch.randn(_POOL, generator=torch.Generator().manual_seed(seed))
        self._gain = gain
        self._scales = dict(scales or {})
        self._start = 0

    def __call__(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """Returns the tensor of that name, float32."""
        count = 1
        for size in shape:
            count *= size
        self._start = (self._start + 7919) % _POOL
        values = self._pool[self._start : self._start + count]
        if len(values) < count:
            values = self._pool.roll(-self._start).repeat(-(-count // _POOL))[:count]
        values = values.view(shape)
        if name.endswith(("norm.weight", "weight_g")):
            values = 1 + 0.1 * values
        elif len(shape) > 1:
            fan_in = max(1, count // shape[0])
            values = values * (self._gain / fan_in**0.5)
        else:
            values = 0.02 * values
        for part, scale in self._scales.items():
            if part in name:
                values = values * scale
        return values


def write_safetensors(path: Path, shapes: Shapes, draw: Draw, dtype: torch.dtype) -> None:
    """Writes one file; only one tensor is in memory at a time."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        size = dtype.itemsize
        for length in shape:
            size *= length
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(shape),
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name, shape in shapes.items():
            tensor = draw(name, shape).to(dtype).contiguous()
            file.write(tensor.view(torch.uint8).numpy().data if shape else _scalar(tensor))


def _scalar(tensor: Tensor) -> bytes:
    return tensor.reshape(1).view(torch.uint8).numpy().tobytes()


def write_sharded(
    folder: Path, shapes: Shapes, draw: Draw, dtype: torch.dtype, *, shards: int
) -> None:
    """Writes `model-0000N-of-0000M.safetensors` and their index, or one `model.safetensors`."""
    if shards == 1:
        write_safetensors(folder / "model.safetensors", shapes, draw, dtype)
        return
    names = list(shapes)
    per_shard = -(-len(names) // shards)
    mapped: dict[str, str] = {}
    for i in range(shards):
        file = f"model-{i + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: shapes[name] for name in names[i * per_shard : (i + 1) * per_shard]}
        write_safetensors(folder / file, part, draw, dtype)
        mapped.update(dict.fromkeys(part, file))
    index = {"metadata": {}, "weight_map": mapped}
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps(index), encoding="utf-8")


def write_tokenizer(path: Path, special: Mapping[str, int]) -> int:
    """Writes a byte-level `tokenizer.json` and returns how many ids it has.

    Args:
        special: added tokens and their ids; ids below the first of them that no byte takes are
            filled with tokens that no text contains.
    """
    first = min(special.values())
    letters = _byte_letters()
    if first < len(letters):
        raise ValueError(f"special tokens begin at {len(letters)} or later")
    vocabulary = {letter: i for i, letter in enumerate(letters)}
    vocabulary.update({f"\u0378{i}": i for i in range(len(letters), first)})
    ordered = sorted(special.items(), key=lambda item: item[1])
    if [number for _, number in ordered] != list(range(first, first + len(ordered))):
        raise ValueError("ids of special tokens follow each other")
    added = [
        {
            "id": number,
            "content": content,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for content, number in ordered
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                  "use_regex": False}  # fmt: skip
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "vocab": vocabulary,
            "merges": [],
        },
    }
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    return first + len(ordered)


def _byte_letters() -> list[str]:
    """The 256 letters that byte-level tokenizers write bytes with."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + i) for i in range(len(others))]
