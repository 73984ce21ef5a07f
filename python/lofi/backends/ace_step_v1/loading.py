"""The parts of v1 in memory: loaded once for a folder, device and precision, lent to the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from lofi.backends.ace_step_v1 import weights
from lofi.backends.ace_step_v1.conditions import Condition
from lofi.backends.ace_step_v1.dcae import Autoencoder
from lofi.backends.ace_step_v1.lora import Merger, read_adapter
from lofi.backends.ace_step_v1.lyrics.tokens import VOCABULARY_FILE, lyric_ids
from lofi.backends.ace_step_v1.text import TextEncoder
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.backends.ace_step_v1.vocoder import Vocoder
from lofi.errors import InsufficientMemory, ModelNotFound
from lofi.worker import device as devices
from lofi.worker import memory
from lofi.worker.backend import Check, Event, Job, Model, Notice, Phase, Step
from lofi.worker.residents import Residency, Residents
from lofi.worker.retreats import Footing
from lofi.worker.weights import own_bytes

TEXT, TRANSFORMER, CODEC = "text_encoder", "transformer", "codec"
NEEDED = {
    TEXT: frozenset({"attention"}),
    TRANSFORMER: frozenset({"attention"}),
    CODEC: frozenset({"convolution", "transposed convolution"}),
}
"""The operations of the device's self-test that a part stands on."""
SPARE_BYTES = 1 << 30
"""What a job works in beside its weights on a CPU, roughly, at any length."""


class CodecParts(nn.Module):
    """Autoencoder and vocoder, which move together."""

    def __init__(self, autoencoder: Autoencoder, vocoder: Vocoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.vocoder = vocoder


class Loaded:
    """The three parts of one folder on one device."""

    def __init__(self, model: Model, policy: devices.Policy | None = None) -> None:
        """Chooses device and precision; loads nothing yet.

        Args:
            policy: of another machine; None looks at this one.

        Raises:
            ModelNotFound: the model has no folder.
            DeviceUnavailable: the device that was asked for does not exist.
        """
        if model.path is None:
            raise ModelNotFound(
                "ACE-Step v1 has no folder",
                hint="Run :Lofi setup ace-step, or point LOFI_ACE_STEP_MODEL_PATH to the folder "
                "of its weights.",
            )
        self.path: Path = model.path
        self.model = model
        self.policy = policy or _policy(model)
        self.residents = Residents(self.policy.device, Residency.NONE)
        self.tokenizer: Tokenizer | None = None
        self.conditions: dict[Any, Condition] = {}
        """Encoded prompts of the last job; the next take of a request has the same."""
        self.sources: dict[Any, Tensor] = {}
        """The encoded source of the last job."""
        self._homes = dict.fromkeys(_LOADERS, self.policy)
        self._policies: dict[str, devices.Policy] = {}
        self._merger: Merger | None = None
        self._is_tested = False
        self._is_narrow = False
        """The transformer's weights stay as they are stored and are widened as they are used."""

    def serves(self, model: Model) -> bool:
        """Whether a job with `model` finds here what it needs."""
        return _key(model) == _key(self.model)

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        """Loads what is missing and merges the job's adapters into the transformer."""
        self.model = job.model
        yield from self.policy.warnings
        if self.policy.device.startswith("mps") and not self._is_tested:
            yield from self.distrust(devices.self_test(self.policy.device))
        missing = [name for name in _LOADERS if self._policies.get(name) != self._homes[name]]
        if missing:
            yield from self._make_room()
            yield Phase("loading", len(missing), self.policy.device, self.policy.dtype_name)
            if self.tokenizer is None:
                self.tokenizer = weights.load_tokenizer(self.path)
            for done, name in enumerate(missing, 1):
                self._load_part(name, self._homes[name], check)
                yield Step(done, len(missing))
        self._adapt(job, check)

    def lyric_ids(self, lyrics: str, language: str) -> list[int]:
        """Returns the tokens of lyrics.

        Raises:
            ModelNotFound, ModelLoadFailed: words are sung without a vocabulary.
            DependencyMissing: a language package is needed and not installed.
        """
        return lyric_ids(lyrics, self.path / VOCABULARY_FILE, language)

    def _make_room(self) -> Iterator[Event]:
        """Decides, where the CPU computes, whether its memory takes the weights widened.

        Raises:
            InsufficientMemory: it does not even take what is left when they are not.
        """
        self._is_narrow = False
        dtype = self.policy.dtype
        if not self.policy.device.startswith("cpu") or dtype != torch.float32:
            return
        wide, narrow = (weights.cast_bytes(self.path, dtype, narrow=kept) for kept in (False, True))
        # what a load that was cancelled left here counts among the weights
        here = [self.residents[name] for name in self.residents.sizes()]
        free = memory.free_bytes("cpu") + sum(own_bytes(part) for part in here)
        if free < narrow + SPARE_BYTES:
            raise InsufficientMemory(
                f"ACE-Step v1 needs {(narrow + SPARE_BYTES) / 2**30:.1f} GiB of memory, "
                f"{free / 2**30:.1f} are free",
                hint="Close other programs, or use another backend.",
                needed_bytes=narrow + SPARE_BYTES,
                free_bytes=free,
            )
        fits = wide + SPARE_BYTES <= free * (1 - memory.SPARE_PART)
        self._is_narrow = self.model.offload == "sequential" or (
            self.model.offload == "auto" and not fits
        )
        if self._is_narrow and not fits:
            yield Notice(
                "DEGRADED",
                f"The weights widened to float32 need {wide / 2**30:.1f} GiB, {free / 2**30:.1f} "
                "are free: they stay as they are stored, which is somewhat slower",
            )

    def distrust(self, wrong: list[str]) -> Iterator[Event]:
        """Keeps the parts that stand on `wrong` operations of the device on the CPU."""
        self._is_tested = True
        for name, needed in NEEDED.items():
            found = sorted(needed.intersection(wrong))
            if found:
                self._homes[name] = self.policy.on_cpu()
                yield Notice(
                    "DEGRADED",
                    f"{', '.join(found)} is wrong on {self.policy.device}: "
                    f"the {name.replace('_', ' ')} runs on the CPU",
                )

    def _load_part(self, name: str, policy: devices.Policy, check: Check) -> None:
        """Loads one part for its policy; the one before it leaves first."""
        self.residents.drop(name)
        self._policies.pop(name, None)
        if name == TRANSFORMER:
            self._merger = None
        dtype = policy.codec_dtype if name == CODEC else policy.dtype
        narrow = {"narrow": self._is_narrow} if name == TRANSFORMER else {}
        self.residents.add(name, _LOADERS[name](self.path, dtype, check, **narrow))
        self._policies[name] = policy

    def _change(self, name: str, policy: devices.Policy, job: Job, check: Check) -> None:
        """The next job finds another policy than it wants and loads the part again."""
        self._load_part(name, policy, check)
        if name == TRANSFORMER:
            self._adapt(job, check)

    def in_float32(self, name: str, job: Job, check: Check) -> bool:
        """Loads a part anew in float32; returns False when it was that already."""
        if self.dtype_of(name) == torch.float32:
            return False
        self._change(name, self._policies[name].in_float32(), job, check)
        return True

    def stand(self, name: str, footing: Footing, job: Job, check: Check) -> None:
        """Changes to the footing of a retreat; on the CPU a part runs in float32."""
        if footing.residency is Residency.CPU and self.device_of(name) != "cpu":
            self._is_narrow = True  # a retreat takes no more memory than it must
            self._change(name, self._policies[name].on_cpu(), job, check)
        if footing.residency is not self.residents.residency:
            self.residents.settle(footing.residency)

    @contextmanager
    def use(self, name: str) -> Iterator[Any]:
        """Lends a part, on its device for as long as the block lasts."""
        if self.device_of(name).startswith("cpu"):
            yield self.residents[name]  # never left host memory
            return
        with self.residents.use(name) as part:
            yield part

    def dtype_of(self, name: str) -> torch.dtype:
        """Returns the precision a part is in."""
        policy = self._policies[name]
        return policy.codec_dtype if name == CODEC else policy.dtype

    def device_of(self, name: str) -> str:
        """Returns where a part computes."""
        return self._policies[name].device

    @property
    def transformer(self) -> Transformer:
        """The transformer, wherever it is."""
        return cast(Transformer, self.residents[TRANSFORMER])

    @property
    def text_encoder(self) -> TextEncoder:
        """The text encoder, wherever it is."""
        return cast(TextEncoder, self.residents[TEXT])

    @property
    def codec(self) -> CodecParts:
        """Autoencoder and vocoder, wherever they are."""
        return cast(CodecParts, self.residents[CODEC])

    def _adapt(self, job: Job, check: Check) -> None:
        if self._merger is None:
            if not job.loras:
                return
            self._merger = Merger(self.transformer, self.path / weights.TRANSFORMER)
        self._merger.apply(
            [(read_adapter(lora.path), lora.sha256, lora.scale) for lora in job.loras], check
        )


def _policy(model: Model) -> devices.Policy:
    # everything offloaded to the CPU is a job for the CPU
    place = "cpu" if model.offload == "cpu" else devices.choose(model.device)
    return devices.policy(place, "ace_step", model.bf16)


def _key(model: Model) -> tuple[Any, ...]:
    return model.path, model.device, model.bf16, model.offload


def _codec(path: Path, dtype: torch.dtype, check: Check) -> CodecParts:
    autoencoder = weights.load_autoencoder(path, dtype, check)
    return CodecParts(autoencoder, weights.load_vocoder(path, dtype, check))


_LOADERS: dict[str, Callable[..., nn.Module]] = {
    TEXT: weights.load_text_encoder,
    TRANSFORMER: weights.load_transformer,
    CODEC: _codec,
}
