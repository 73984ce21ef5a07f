"""LoRA adapters: small files merged into the transformer's linears, and taken out again exactly."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lofi.errors import InvalidLora, ModelLoadFailed, ModelNotFound
from lofi.worker.backend import Check
from lofi.worker.weights import read_tensors, tensors

FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")
PEFT_CONFIG = "adapter_config.json"
METADATA = "lora_adapter_metadata"
_PREFIX = re.compile(r"^((base_model\.model|diffusion_model|transformer|model)\.)+")
_FLAT_PREFIX = re.compile(r"^(lora_unet|lora_transformer|lycoris)_")
_FACTOR = re.compile(
    r"(?P<module>.+)\.(?P<factor>lora_A|lora_B|lora_down|lora_up|lora\.down|lora\.up|alpha)"
    r"(\.default)?(\.weight)?"
)
_DOWN, _UP = ("lora_A", "lora_down", "lora.down"), ("lora_B", "lora_up", "lora.up")


@dataclass(frozen=True, slots=True)
class Change:
    """What an adapter adds to one weight at scale 1."""

    down: Tensor
    """[rank, in]."""
    up: Tensor
    """[out, rank]."""
    scale: float

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight it belongs to."""
        return self.up.shape[0], self.down.shape[1]

    def added(self, weight: Tensor, strength: float) -> Tensor:
        """Returns float32 `weight` with the change at `strength`."""
        up, down = self.up.float().to(weight.device), self.down.float().to(weight.device)
        return weight.addmm(up, down, alpha=strength * self.scale)


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter: its changes by module as the file names it."""

    path: Path
    changes: Mapping[str, Change]

    @property
    def rank(self) -> int:
        """The widest of its factors."""
        return max(change.down.shape[0] for change in self.changes.values())


def read_adapter(path: Path) -> Adapter:
    """Returns the adapter of a folder or a single file.

    Raises:
        InvalidLora: there is none, it cannot be read, or it is of a kind not known here.
    """
    file = path
    if path.is_dir():
        found = next((path / name for name in FILES if (path / name).is_file()), None)
        if found is None:
            raise InvalidLora(
                f"{path} holds no adapter", hint=f"A folder needs {FILES[0]} or {FILES[1]}."
            )
        file = found
    try:
        stored = read_tensors(file)
    except (ModelLoadFailed, ModelNotFound) as error:
        raise InvalidLora(f"{file} cannot be read: {error}") from error
    config = _config(file)
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in stored.items():
        match = _FACTOR.fullmatch(name)
        if match is None:
            raise InvalidLora(
                f"{file.name}: {name!r} is no factor of a LoRA",
                hint="LoRA of linear layers is read, as safetensors.",
                first_mismatch=name,
            )
        parts.setdefault(_PREFIX.sub("", match["module"]), {})[match["factor"]] = tensor
    changes = {module: _change(file, module, part, config) for module, part in parts.items()}
    if not changes:
        raise InvalidLora(f"{file} holds no tensors")
    return Adapter(path, changes)


def _change(
    file: Path, module: str, part: Mapping[str, Tensor], config: Mapping[str, Any]
) -> Change:
    down = next((part[name] for name in _DOWN if name in part), None)
    up = next((part[name] for name in _UP if name in part), None)
    if down is None or up is None or down.shape[0] != up.shape[1]:
        raise InvalidLora(f"{file.name}: {module} lacks a factor", first_mismatch=module)
    down, up = down.flatten(1), up.flatten(1)
    rank = down.shape[0]
    if "alpha" in part:
        return Change(down, up, float(part["alpha"]) / rank)
    if "lora_alpha" not in config:
        # files without metadata were trained with any alpha but are played with alpha = rank
        return Change(down, up, 1.0)
    trained = _by_pattern(config.get("rank_pattern"), module, config.get("r", rank))
    alpha = _by_pattern(config.get("alpha_pattern"), module, config["lora_alpha"])
    return Change(down, up, alpha / (math.sqrt(trained) if config.get("use_rslora") else trained))


def _by_pattern(patterns: Any, module: str, otherwise: Any) -> float:
    for pattern, value in (patterns or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", module):
            return float(value)
    return float(otherwise)


def _config(file: Path) -> Mapping[str, Any]:
    """The training configuration, from the file's own metadata or from beside it."""
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        text = json.loads(handle.read(length)).get("__metadata__", {}).get(METADATA)
    beside = file.with_name(PEFT_CONFIG)
    if text is None and file.name == FILES[1] and beside.is_file():
        text = beside.read_text(encoding="utf-8")
    if text is None:
        return {}
    try:
        values = json.loads(text)
        # diffusers puts the name of the part before each key
        values = {key.removeprefix("transformer."): value for key, value in values.items()}
    except (ValueError, AttributeError) as error:
        raise InvalidLora(f"{file} has a broken configuration: {error}") from error
    return values


class Merger:
    """Keeps a module's weights equal to the checkpoint's plus the adapters of the job at hand.

    The originals are read from the checkpoint again instead of being kept twice in memory.
    """

    def __init__(self, module: nn.Module, checkpoint: Path) -> None:
        self._checkpoint = checkpoint
        self._linears = {
            name: part for name, part in module.named_modules() if isinstance(part, nn.Linear)
        }
        self._bases = {f"{name}.weight": part.weight.dtype for name, part in self._linears.items()}
        self._flat = {name.replace(".", "_"): name for name in self._linears}
        self._changed: set[str] = set()
        self._merged: tuple[tuple[str, float], ...] = ()

    def apply(self, adapters: Iterable[tuple[Adapter, str, float]], check: Check) -> None:
        """Brings the weights to base plus `adapters` (adapter, SHA-256, strength), in order.

        Raises:
            InvalidLora: a change fits no weight; nothing was changed.
        """
        wanted = [item for item in adapters if item[2] != 0]
        identity = tuple((digest, strength) for _, digest, strength in wanted)
        if identity == self._merged:
            return
        plan: dict[str, list[tuple[Change, float]]] = {}
        for adapter, _, strength in wanted:
            for name, change in self._fitted(adapter).items():
                plan.setdefault(f"{name}.weight", []).append((change, strength))
        touched = self._changed | set(plan)
        # should anything fail half-way the next call starts from the checkpoint again
        self._merged, self._changed = (("", math.nan),), touched
        for entry, stored in tensors(self._checkpoint, check):
            if entry.name not in touched:
                continue
            linear = self._linears[entry.name.removesuffix(".weight")]
            weight, bias = linear.weight, linear.bias
            merged = stored.to(self._bases[entry.name]).to(weight.device)
            if entry.name in plan:
                wide = merged.float()
                for change, strength in plan[entry.name]:
                    wide = change.added(wide, strength)
                # a weight that was kept narrow is not rounded to that again
                merged = wide.to(merged.dtype if bias is None else bias.dtype)
            weight.data = merged
        self._merged, self._changed = identity, set(plan)

    def _fitted(self, adapter: Adapter) -> dict[str, Change]:
        """The adapter's changes by our module; every one must fit."""
        fitted, misfits = {}, []
        for module, change in adapter.changes.items():
            name = self._flat.get(_FLAT_PREFIX.sub("", module).replace(".", "_"))
            if name is None or tuple(self._linears[name].weight.shape) != change.shape:
                misfits.append(module)
            else:
                fitted[name] = change
        if misfits:
            raise InvalidLora(
                f"{adapter.path.name} does not fit this model: {misfits[0]}",
                hint="It was trained for another model; ACE-Step v1 takes its own adapters only.",
                matched=len(fitted),
                expected=len(adapter.changes),
                first_mismatch=misfits[0],
            )
        return fitted
