"""The parts of v1 in memory: loaded once for a folder, device and precision, lent to the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import torch
from tokenizers import Tokenizer
from torch import nn

from lofi.backends.ace_step_v1 import weights
from lofi.backends.ace_step_v1.dcae import Autoencoder
from lofi.backends.ace_step_v1.lora import Merger, read_adapter
from lofi.backends.ace_step_v1.text import TextEncoder
from lofi.backends.ace_step_v1.transformer import Transformer
from lofi.backends.ace_step_v1.vocoder import Vocoder
from lofi.errors import ModelNotFound
from lofi.worker import device as devices
from lofi.worker.backend import Check, Event, Job, Model, Phase, Step
from lofi.worker.residents import Residency, Residents

TEXT, TRANSFORMER, CODEC = "text_encoder", "transformer", "codec"


class CodecParts(nn.Module):
    """Autoencoder and vocoder, which move together."""

    def __init__(self, autoencoder: Autoencoder, vocoder: Vocoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.vocoder = vocoder


class Loaded:
    """The three parts of one folder on one device."""

    def __init__(self, model: Model) -> None:
        """Chooses device and precision; loads nothing yet.

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
        self.policy = devices.policy(devices.choose(model.device), "ace_step", model.bf16)
        self.residents = Residents(self.policy.device, Residency.NONE)
        self.tokenizer: Tokenizer | None = None
        self._dtypes: dict[str, torch.dtype] = {}
        self._merger: Merger | None = None

    def serves(self, model: Model) -> bool:
        """Whether a job with `model` finds here what it needs."""
        mine = self.model
        return (model.path, model.device, model.bf16) == (mine.path, mine.device, mine.bf16)

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        """Loads what is missing and merges the job's adapters into the transformer."""
        self.model = job.model
        yield from self.policy.warnings
        missing = [name for name in _LOADERS if self._dtypes.get(name) != self._wanted(name)]
        if missing:
            yield Phase("loading", len(missing), self.policy.device, self.policy.dtype_name)
            if self.tokenizer is None:
                self.tokenizer = weights.load_tokenizer(self.path)
            for done, name in enumerate(missing, 1):
                self.load_part(name, self._wanted(name), check)
                yield Step(done, len(missing))
        self._adapt(job, check)

    def load_part(self, name: str, dtype: torch.dtype, check: Check) -> None:
        """Loads one part in `dtype`; the one before it leaves first."""
        self.residents.drop(name)
        self._dtypes.pop(name, None)
        if name == TRANSFORMER:
            self._merger = None
        self.residents.add(name, _LOADERS[name](self.path, dtype, check))
        self._dtypes[name] = dtype

    def in_float32(self, name: str, job: Job, check: Check) -> bool:
        """Loads a part anew in float32; returns False when it was that already.

        The next job finds another precision than it wants and loads the part again.
        """
        if self._dtypes[name] == torch.float32:
            return False
        self.load_part(name, torch.float32, check)
        if name == TRANSFORMER:
            self._adapt(job, check)
        return True

    def dtype_of(self, name: str) -> torch.dtype:
        """Returns the precision a part is in."""
        return self._dtypes[name]

    @property
    def transformer(self) -> Transformer:
        """The transformer, wherever it is."""
        return cast(Transformer, self.residents[TRANSFORMER])

    @property
    def text_encoder(self) -> TextEncoder:
        """The text encoder, wherever it is."""
        return cast(TextEncoder, self.residents[TEXT])

    @property
    def autoencoder(self) -> Autoencoder:
        """The autoencoder, wherever it is."""
        return cast(CodecParts, self.residents[CODEC]).autoencoder

    def _wanted(self, name: str) -> torch.dtype:
        return self.policy.codec_dtype if name == CODEC else self.policy.dtype

    def _adapt(self, job: Job, check: Check) -> None:
        if self._merger is None:
            if not job.loras:
                return
            self._merger = Merger(self.transformer, self.path / weights.TRANSFORMER)
        self._merger.apply(
            [(read_adapter(lora.path), lora.sha256, lora.scale) for lora in job.loras], check
        )


def _codec(path: Path, dtype: torch.dtype, check: Check) -> CodecParts:
    autoencoder = weights.load_autoencoder(path, dtype, check)
    return CodecParts(autoencoder, weights.load_vocoder(path, dtype, check))


_LOADERS: dict[str, Callable[[Path, torch.dtype, Check], nn.Module]] = {
    TEXT: weights.load_text_encoder,
    TRANSFORMER: weights.load_transformer,
    CODEC: _codec,
}
