"""The networks of a variant while jobs run: what is loaded, where, how precise, how large."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lofi.backends.ace_step_15 import needs
from lofi.backends.ace_step_15.adapters import Adapter, Merger
from lofi.backends.ace_step_15.text import LYRIC_LIMIT, TEXT_LIMIT, TextTokenizer
from lofi.backends.ace_step_15.weights import (
    Bundle,
    load_model,
    load_silence,
    load_text,
    load_tokenizer,
    load_vae,
)
from lofi.errors import ModelInferenceFailed
from lofi.worker.backend import Check, Notice
from lofi.worker.device import Policy
from lofi.worker.memory import SPARE_PART, Need
from lofi.worker.residents import Residency, Residents, module_bytes
from lofi.worker.retreats import Footing
from lofi.worker.weights import cast_bytes, own_bytes

MAX_ROWS = TEXT_LIMIT + LYRIC_LIMIT
StageName = Literal["text", "dit", "vae"]
STAGES: tuple[StageName, ...] = ("text", "dit", "vae")


class Stages:
    """Lends each stage's network on its device, and changes footing or precision when it must."""

    def __init__(self, bundle: Bundle, policy: Policy) -> None:
        self.bundle = bundle
        self.policy = policy
        self.tokenizer: TextTokenizer = load_tokenizer(bundle)
        self.silence: Tensor = load_silence(bundle)
        self._residents = Residents(policy.device, Residency.NONE)
        self._homes: dict[str, Policy] = dict.fromkeys(STAGES, policy)
        self._policies: dict[str, Policy] = dict(self._homes)
        self._merger: Merger | None = None
        self._adapters: list[tuple[Adapter, float]] = []

    def load(self, check: Check) -> Iterator[StageName]:
        """Loads what is missing; yields after each stage. A job's precision retries end here."""
        for name in STAGES:
            if self._policies[name] != self._homes[name]:
                self._residents.drop(name)
                self._policies[name] = self._homes[name]
            if name not in self._residents:
                self._residents.add(name, self._read(name, check))
                if name == "dit":
                    self._merger = None
            yield name

    def fit(self, free_bytes: int) -> Notice | None:
        """Keeps weights in half the precision of their files if casting them needs too much.

        Mapped weights are the system's to read again; cast ones would end the process where memory
        is short. The codec is small, and heard, so it stays precise.

        Args:
            free_bytes: of host memory.
        """
        folders = {"text": self.bundle.text, "dit": self.bundle.model}
        cast = sum(
            cast_bytes(folder, self._homes[name].dtype)
            for name, folder in folders.items()
            if name not in self._residents and self._homes[name].device == "cpu"
        )
        if cast <= free_bytes * (1 - SPARE_PART):
            return None
        for name, folder in folders.items():
            stored = self._homes[name].in_bfloat16()
            if cast_bytes(folder, stored.dtype) == 0:
                self._homes[name] = stored
        return Notice(
            "DEGRADED",
            f"{cast / 2**30:.1f} GiB of float32 weights do not fit in the {free_bytes / 2**30:.1f} "
            "GiB that are free: computing in bfloat16, which is slower on this processor",
        )

    def _read(self, name: StageName, check: Check) -> nn.Module:
        dtype = self.dtype(name)
        if name == "text":
            return load_text(self.bundle, dtype, check)
        if name == "dit":
            return load_model(self.bundle, dtype, check)
        return load_vae(self.bundle, dtype, check)

    def unload(self) -> None:
        """Lets go of every weight."""
        self._residents.clear()
        self._merger = None

    def dtype(self, name: StageName) -> torch.dtype:
        """What the stage computes in."""
        policy = self._policies[name]
        return policy.codec_dtype if name == "vae" else policy.dtype

    def device(self, name: StageName) -> str:
        """Where the stage computes."""
        return self._policies[name].device

    def keep_on_cpu(self, name: StageName) -> None:
        """Moves a stage away from a device that computes wrongly, for good."""
        self._homes[name] = self.policy.on_cpu()

    def settle(self, residency: Residency) -> None:
        """Places the networks for a job."""
        self._residents.settle(residency)

    @property
    def residency(self) -> Residency:
        """How the networks are placed."""
        return self._residents.residency

    def stand(self, name: StageName, footing: Footing, check: Check) -> None:
        """Changes to the footing of a retreat; on the CPU a stage runs in float32."""
        if footing.residency is Residency.CPU and self.device(name) != "cpu":
            self._policies[name] = self._policies[name].on_cpu()
            self._reload(name, check)
        elif footing.residency is not self._residents.residency:
            self._residents.settle(footing.residency)

    def widen(self, name: StageName, problem: str, check: Check) -> Notice:
        """Reloads a stage in float32 for the one retry.

        Raises:
            ModelInferenceFailed: it was float32 already.
        """
        stage = {"text": "encoding", "dit": "diffusion", "vae": "decoding"}[name]
        if self.dtype(name) == torch.float32:
            raise ModelInferenceFailed(f"The model made {problem} while {stage}", stage=stage)
        precise = self._policies[name].in_float32()
        self._policies[name] = precise
        self._reload(name, check)
        return Notice("DEGRADED", f"{stage} made {problem} and ran again in float32")

    def _reload(self, name: StageName, check: Check) -> None:
        """Reads a stage anew for its changed policy; a job's adapters stay merged."""
        self._residents.drop(name)
        self._residents.add(name, self._read(name, check))
        if name == "dit":
            self._merger = None
            self.merge(self._adapters, check)

    @contextmanager
    def use(self, name: StageName) -> Iterator[Any]:
        """Lends a stage's network, on its device for as long as the block lasts."""
        if self.device(name) == "cpu":
            yield self._residents[name]  # never left host memory
            return
        with self._residents.use(name) as network:
            yield network

    def merge(self, adapters: list[tuple[Adapter, float]], check: Check) -> None:
        """Brings the decoder to its base weights plus `adapters`."""
        self._adapters = adapters
        if self._merger is None:
            if not adapters:
                return
            decoder = self._residents["dit"].decoder
            assert isinstance(decoder, nn.Module)
            self._merger = Merger(decoder)
        self._merger.apply(adapters, check)

    def needs(
        self, frames: int, tile_frames: int, rows: int = MAX_ROWS, encode_frames: int = 0
    ) -> list[Need]:
        """What a job of `frames` latent frames needs, stage by stage.

        Args:
            tile_frames: latent frames decoded at once.
            rows: of text and lyrics that the decoder attends to.
            encode_frames: latent frames encoded at once; 0 for a job without sounds.
        """
        bundle, precise = self.bundle, self.dtype("vae")
        sounds = max(
            needs.decoding_bytes(bundle.vae_config, min(frames, tile_frames), precise),
            needs.encoding_bytes(bundle.vae_config, encode_frames, precise),
        )
        return [
            Need(
                "text",
                self._size("text"),
                needs.text_bytes(bundle.text_config, rows, self.dtype("text")),
            ),
            Need(
                "dit",
                self._size("dit"),
                needs.diffusion_bytes(bundle.config, frames, rows, self.dtype("dit")),
            ),
            Need("vae", self._size("vae"), sounds + needs.latent_bytes(bundle.config, frames)),
        ]

    def weight_bytes(self) -> int:
        """Bytes of all loaded weights, wherever they are."""
        return sum(self._residents.sizes().values())

    def on_device_bytes(self) -> int:
        """Bytes of weights that lie on the device now."""
        return sum(
            tensor.nbytes
            for name in STAGES
            if name in self._residents
            for tensor in self._residents[name].parameters()
            if tensor.device.type != "cpu"
        )

    def _size(self, name: StageName) -> int:
        """Bytes the stage's weights take where it runs; in host memory, mapped ones take none."""
        module = self._residents[name]
        return own_bytes(module) if self.device(name) == "cpu" else module_bytes(module)
