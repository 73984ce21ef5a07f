"""LoRA and LoKr: small files that change the decoder's weights, merged in and taken out again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor, nn

from lofi.errors import InvalidLora

Format = Literal["peft", "diffusers", "single_file", "lokr"]
PEFT_CONFIG = "adapter_config.json"
PEFT_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
LOKR_FILE = "lokr_weights.safetensors"
_PREFIXES = ("base_model.model.", "diffusion_model.", "transformer.", "decoder.", "model.")
_RENAMED = (
    ("to_out.0", "o_proj"),
    ("to_q", "q_proj"),
    ("to_k", "k_proj"),
    ("to_v", "v_proj"),
    ("proj_in_conv", "proj_in.1"),
    ("proj_out_conv", "proj_out.1"),
)
_LORA_KEY = re.compile(
    r"(?P<module>.+)\.(?P<part>lora_A|lora_B|lora_down|lora_up|alpha|lora_magnitude_vector)"
    r"(\.default)?(\.weight)?"
)
_LOKR_KEY = re.compile(
    r"lycoris_(?P<module>.+)\.(?P<part>lokr_w1|lokr_w1_a|lokr_w1_b|lokr_w2|lokr_w2_a|lokr_w2_b"
    r"|lokr_t2|alpha|dora_scale)"
)


@dataclass(frozen=True, slots=True)
class Delta:
    """The change of one weight at scale 1."""

    change: Callable[[], Tensor]
    """The change, in any shape with the weight's element count, float32."""
    elements: int
    magnitude: Tensor | None = None
    """With weight decomposition: the lengths the changed weight is brought to, broadcastable."""

    def applied(self, weight: Tensor, original: Tensor, scale: float) -> Tensor:
        """`weight` float32 with the change of `original`'s weight at `scale`."""
        change = self.change().to(weight.device).reshape(original.shape)
        if self.magnitude is None:
            return weight + scale * change
        changed = original + change
        magnitude = self.magnitude.float().to(weight.device)
        magnitude = magnitude.reshape(magnitude.shape + (1,) * (changed.dim() - magnitude.dim()))
        axes = [d for d in range(changed.dim()) if magnitude.shape[d] == 1]
        stretch = magnitude / changed.norm(dim=axes, keepdim=True).clamp(min=1e-12)
        return weight + scale * (changed * stretch - original)


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter file: the change of each weight, by module name inside the decoder."""

    path: Path
    format: Format
    rank: int
    deltas: Mapping[str, Delta]


def read_adapter(path: Path) -> Adapter:
    """Reads a PEFT folder, a LoKr file or a single LoRA file.

    Raises:
        InvalidLora: nothing readable there, or a key that no known format has.
    """
    folder = path if path.is_dir() else path.parent
    if path.is_dir():
        names = (*PEFT_WEIGHTS, LOKR_FILE)
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise InvalidLora(
                f"{path} holds no adapter weights",
                hint=f"A folder needs {PEFT_WEIGHTS[0]} with {PEFT_CONFIG}, or {LOKR_FILE}.",
            )
        path = found
    tensors, metadata = _open(path)
    lokr = metadata.get("lokr_config")
    if path.name == LOKR_FILE or lokr or any(".lokr_w" in key for key in tensors):
        return _lokr(path, tensors, _json(lokr, path) if lokr else {})
    config_path = folder / PEFT_CONFIG
    if path.name in PEFT_WEIGHTS and config_path.is_file():
        config = _json(config_path.read_text(encoding="utf-8"), config_path)
        if "peft_type" not in config:
            raise InvalidLora(f"{config_path} has no peft_type", hint="It is no PEFT adapter.")
        return _lora(path, tensors, config)
    return _lora(path, tensors, None)


def _json(text: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidLora(f"{path} is not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidLora(f"{path} holds no JSON object")
    return value


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                return {key: file.get_tensor(key) for key in file.keys()}, metadata  # noqa: SIM118
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        return {key: value for key, value in loaded.items() if isinstance(value, Tensor)}, {}
    except Exception as error:  # broken headers raise whatever they like
        raise InvalidLora(f"{path} cannot be read: {error}") from error


def module_name(key: str) -> str:
    """The decoder's name of a module as PEFT, ComfyUI and diffusers write it."""
    again = True
    while again:
        again = False
        for prefix in _PREFIXES:
            if key.startswith(prefix):
                key, again = key[len(prefix) :], True
    for theirs, ours in _RENAMED:
        key = re.sub(rf"(^|\.){re.escape(theirs)}(\.|$)", rf"\g<1>{ours}\g<2>", key)
    return key


def _parts(
    tensors: Mapping[str, Tensor], pattern: re.Pattern[str], path: Path
) -> dict[str, dict[str, Tensor]]:
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = pattern.fullmatch(key)
        if match is None:
            raise InvalidLora(
                f"{path.name}: key {key!r} belongs to no adapter format known here",
                hint="PEFT LoRA, LyCORIS LoKr and single-file LoRA of ACE-Step 1.5 are read.",
                first_mismatch=key,
            )
        parts.setdefault(match["module"], {})[match["part"]] = tensor
    return parts


def _lora(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any] | None) -> Adapter:
    deltas: dict[str, Delta] = {}
    rank, theirs = 0, False
    for written, part in _parts(tensors, _LORA_KEY, path).items():
        down, up = (
            part.get("lora_A", part.get("lora_down")),
            part.get("lora_B", part.get("lora_up")),
        )
        if down is None or up is None:
            raise InvalidLora(
                f"{path.name}: {written} has only one of its two factors", first_mismatch=written
            )
        name = module_name(written)
        theirs = theirs or ".to_" in written
        rank = max(rank, down.shape[0])
        scale = _lora_scale(name, down.shape[0], part.get("alpha"), config)
        magnitude = part.get("lora_magnitude_vector")
        deltas[name] = Delta(
            _product(up, down, scale),
            up.shape[0] * down[0].numel(),
            None if magnitude is None else magnitude.reshape(-1, 1),
        )
    kind: Format = "diffusers" if theirs else "peft" if config is not None else "single_file"
    return Adapter(path, kind, rank, deltas)


def _lora_scale(
    name: str, rank: int, alpha: Tensor | None, config: Mapping[str, Any] | None
) -> float:
    if alpha is not None:
        return float(alpha) / rank
    if config is None:
        return 1.0
    rank = _by_pattern(config.get("rank_pattern"), name, config.get("r", rank))
    strength = _by_pattern(config.get("alpha_pattern"), name, config.get("lora_alpha", rank))
    return float(strength) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _by_pattern(patterns: Any, name: str, otherwise: Any) -> Any:
    for pattern, value in (patterns or {}).items():
        if re.fullmatch(rf"(.*\.)?({pattern})", name):
            return value
    return otherwise


def _product(up: Tensor, down: Tensor, scale: float) -> Callable[[], Tensor]:
    return lambda: scale * (up.float().flatten(1) @ down.float().flatten(1))


def _lokr(path: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> Adapter:
    deltas: dict[str, Delta] = {}
    rank = 0
    for name, part in _parts(tensors, _LOKR_KEY, path).items():
        one, first_rank = _factor(part, "lokr_w1", name, path)
        two, second_rank = _factor(part, "lokr_w2", name, path)
        dim = second_rank or first_rank
        rank = max(rank, dim)
        scale = 1.0
        if dim and "alpha" in part:
            scale = float(part["alpha"]) / (math.sqrt(dim) if config.get("rs_lora") else dim)
        deltas[name] = Delta(
            _kronecker(one, two, scale), one.numel() * two.numel(), part.get("dora_scale")
        )
    return Adapter(path, "lokr", rank, deltas)


def _factor(part: Mapping[str, Tensor], name: str, module: str, path: Path) -> tuple[Tensor, int]:
    """One Kronecker factor and the rank it was decomposed to, 0 when stored whole."""
    if name in part:
        return part[name].float(), 0
    a, b = part.get(f"{name}_a"), part.get(f"{name}_b")
    if a is None or b is None:
        raise InvalidLora(f"{path.name}: {module} lacks {name}", first_mismatch=module)
    core = part.get("lokr_t2") if name == "lokr_w2" else None
    if core is None:
        return a.float() @ b.float(), b.shape[0]
    merged = torch.einsum("i j ..., i p, j r -> p r ...", core.float(), a.float(), b.float())
    return merged, core.shape[0]


def _kronecker(one: Tensor, two: Tensor, scale: float) -> Callable[[], Tensor]:
    one = one.reshape(one.shape + (1,) * (two.dim() - one.dim()))
    return lambda: scale * torch.kron(one, two.contiguous())


class Merger:
    """Keeps a decoder's weights merged with the adapters of the job at hand."""

    def __init__(self, decoder: nn.Module) -> None:
        self._decoder = decoder
        self._originals: dict[str, Tensor] = {}
        self._merged: list[tuple[Adapter, float]] = []
        self._names = {
            f"{name}.weight": module
            for name, module in decoder.named_modules()
            if isinstance(module, nn.Linear | nn.Conv1d | nn.ConvTranspose1d)
        }

    def apply(self, adapters: Iterable[tuple[Adapter, float]], check: Callable[[], None]) -> None:
        """Brings the weights to base plus `adapters`; no adapters restore the base bit for bit.

        Raises:
            InvalidLora: a change that fits no weight; the weights are then the base ones.
        """
        wanted = [(adapter, scale) for adapter, scale in adapters if scale != 0]
        if len(wanted) == len(self._merged) and all(
            new is old and scale == known
            for (new, scale), (old, known) in zip(wanted, self._merged, strict=True)
        ):
            return
        plan = [(self._plan(adapter), scale) for adapter, scale in wanted]
        self._restore()
        try:
            self._merge(plan, check)
        except BaseException:
            self._restore()  # a cancelled job leaves the base weights
            raise
        self._merged = wanted

    def _merge(self, plan: list[tuple[dict[str, Delta], float]], check: Callable[[], None]) -> None:
        for deltas, scale in plan:
            for name, delta in deltas.items():
                parameter = self._names[name].weight
                assert isinstance(parameter, nn.Parameter)
                original = self._originals.setdefault(name, parameter.data.cpu())
                base = original.to(parameter.device).float()
                # later adapters add to what earlier ones left, each from the original weight
                merged = delta.applied(parameter.data.float(), base, scale)
                parameter.data = merged.to(parameter.dtype)
                check()

    def _restore(self) -> None:
        for name, original in self._originals.items():
            parameter = self._names[name].weight
            assert isinstance(parameter, nn.Parameter)
            parameter.data = original.to(parameter.device)
        self._originals.clear()
        self._merged = []

    def _plan(self, adapter: Adapter) -> dict[str, Delta]:
        """The adapter's deltas by parameter name; every one must fit."""
        flat = {name.removesuffix(".weight").replace(".", "_"): name for name in self._names}
        plan: dict[str, Delta] = {}
        misfits: list[str] = []
        for module, delta in adapter.deltas.items():
            name = flat.get(module) if adapter.format == "lokr" else f"{module}.weight"
            weight = self._names[name].weight if name in self._names else None
            if name is None or not isinstance(weight, Tensor) or weight.numel() != delta.elements:
                misfits.append(module)
            else:
                plan[name] = delta
        if misfits:
            raise InvalidLora(
                f"{adapter.path.name} does not fit this checkpoint: {misfits[0]}",
                hint="It was trained for another model or size; choose the variant it names.",
                matched=len(plan),
                expected=len(adapter.deltas),
                first_mismatch=misfits[0],
            )
        return plan
