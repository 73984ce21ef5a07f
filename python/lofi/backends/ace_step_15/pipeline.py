"""ACE-Step 1.5 as a library: open a folder of published files, render requests.

pipeline = Pipeline.open(Path("ace-step-15"), "turbo")
audio = pipeline.generate(Request(prompt="rain on a window, felt piano", duration_sec=30))
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from lofi.backends.ace_step_15 import sound
from lofi.backends.ace_step_15.adapters import Adapter, read_adapter
from lofi.backends.ace_step_15.config import FRAME_RATE, HOP, MAX_FRAMES, ModelConfig
from lofi.backends.ace_step_15.encoders import never
from lofi.backends.ace_step_15.rendering import SMALLEST_TILE_FRAMES, Means, Rendering
from lofi.backends.ace_step_15.request import Audio, Request
from lofi.backends.ace_step_15.stages import STAGES, StageName, Stages
from lofi.backends.ace_step_15.weights import open_bundle
from lofi.errors import InvalidLora
from lofi.worker.backend import Check, Event, Model, Notice, Phase, Step, Stretch
from lofi.worker.device import choose, name_of, policy, self_test, set_threads
from lofi.worker.memory import free_bytes, guard_paging, plan, wait_for_memory
from lofi.worker.residents import Residency

TILE_FRAMES = {"cpu": 64, "mps": 32, "cuda": 512}
ENCODE_TILE_FRAMES = 128
WIRE_TYPE = "ace_step_15"
NEEDED: dict[StageName, frozenset[str]] = {
    "text": frozenset({"attention", "shared attention"}),
    "dit": frozenset({"attention", "shared attention", "gather"}),
    "vae": frozenset({"convolution", "dilated convolution"}),
}
"""The operations of the device's self-test that a stage stands on."""


class Pipeline:
    """One variant's networks, ready to render one request after another."""

    def __init__(self, stages: Stages, model: Model) -> None:
        self._stages = stages
        self._model = model
        self._adapters: dict[tuple[Path, int, int], Adapter] = {}
        self._words: dict[tuple[str, str], tuple[torch.Tensor, torch.Tensor]] = {}
        self._is_tested = False

    @classmethod
    def open(
        cls,
        folder: Path,
        variant: str = "turbo",
        *,
        device: str = "auto",
        bf16: bool | None = None,
        model: Model | None = None,
    ) -> Pipeline:
        """Opens `folder` without loading weights.

        Args:
            folder: holds `acestep-v15-<variant>/`, `vae/` and `Qwen3-Embedding-0.6B/`, or is a DiT
                repository beside whose files the other two lie.
            variant: `turbo`, `sft`, `base`, `xl-turbo`, …
            device: `auto`, `cpu`, `cuda`, `cuda:N`, `mps`.
            bf16: None takes bfloat16 where it is fast and safe.
            model: all options at once instead of these.

        Raises:
            ModelNotFound, ModelLoadFailed: naming the file.
            DeviceUnavailable: the device does not exist.
        """
        options = model or Model(path=folder, variant=variant, device=device, bf16=bf16)
        # everything offloaded to the CPU is a job for the CPU
        place = "cpu" if options.offload == "cpu" else choose(options.device)
        chosen = policy(place, WIRE_TYPE, options.bf16)
        return cls(Stages(open_bundle(folder, variant), chosen), options)

    @property
    def config(self) -> ModelConfig:
        """The checkpoint's sizes and family."""
        return self._stages.bundle.config

    @property
    def stages(self) -> Stages:
        """The networks."""
        return self._stages

    def load(self, check: Check = never) -> Iterator[Event]:
        """Brings the weights into memory; cheap when they are there."""
        set_threads(self._model.threads)
        stages = self._stages
        yield Phase("loading", len(STAGES), stages.policy.device, name_of(stages.policy.dtype))
        yield from stages.policy.warnings
        if self._model.quantize != "none":
            yield Notice("PARAM_IGNORED", "ACE-Step 1.5 is not quantised here", "model.quantize")
        if stages.policy.device.startswith("mps") and not self._is_tested:
            yield from self.distrust(self_test(stages.policy.device))
            self._is_tested = True
        if notice := stages.fit(free_bytes("cpu")):
            yield notice
        for done, _ in enumerate(stages.load(check), 1):
            yield Step(done, len(STAGES))

    def distrust(self, wrong: list[str]) -> Iterator[Event]:
        """Keeps the stages that stand on `wrong` operations of the device on the CPU."""
        for name, needed in NEEDED.items():
            found = sorted(needed.intersection(wrong))
            if found:
                self._stages.keep_on_cpu(name)
                yield Notice(
                    "DEGRADED",
                    f"{', '.join(found)} is wrong on {self._stages.policy.device}: "
                    f"{name} runs on the CPU",
                )

    def place(self, rendering: Rendering, check: Check = never) -> Iterator[Event]:
        """Plans the memory of a rendering and places the networks."""
        device = self._stages.policy.device
        if device.startswith("cpu"):
            return
        guard_paging(device)
        held = self._stages.on_device_bytes()
        enough = True
        if not held:  # else this model's own weights fill what is waited for
            enough = yield from wait_for_memory(device, self._model, check)
        needs = [
            need
            for name, need in zip(STAGES, rendering.needs(self.tile_frames), strict=True)
            if self._stages.device(name) == device  # not those that compute wrongly there
        ]
        offload = self._model.offload
        chosen = plan(needs, device, free_bytes(device) + held, offload).residency
        if not enough and chosen is Residency.NONE and offload == "auto":
            chosen = Residency.SEQUENTIAL
        self._stages.settle(chosen)

    @property
    def tile_frames(self) -> int:
        """Latent frames the autoencoder decodes at once."""
        kind = self._stages.device("vae").partition(":")[0]
        frames = TILE_FRAMES.get(kind, 128)
        if self._model.vae_tile_sec is not None:
            frames = max(SMALLEST_TILE_FRAMES, round(self._model.vae_tile_sec * FRAME_RATE))
        return min(frames, self._longest_tile)

    @property
    def _longest_tile(self) -> int:
        """Latent frames whose samples a convolution of the device can still take."""
        limit = self._stages.policy.conv_limit
        on_cpu = self._stages.device("vae").startswith("cpu")
        return MAX_FRAMES if limit is None or on_cpu else limit // HOP

    def rendering(
        self, request: Request, check: Check = never, latents_path: Path | None = None
    ) -> Rendering:
        """One request's way through the stages; raises at once if it cannot be done."""
        means = Means(
            self._stages,
            self.tile_frames,
            min(ENCODE_TILE_FRAMES, self._longest_tile),
            self._model.oom_fallback == "cpu",
            self._words,
        )
        return Rendering(request, means, check, latents_path)

    def adapt(self, adapters: list[tuple[Path, float]], check: Check = never) -> None:
        """Merges adapter files into the decoder, each at its scale; none restore the base.

        Raises:
            InvalidLora: a file is no adapter or fits another model.
        """
        known, self._adapters = self._adapters, {}
        chosen = []
        for path, scale in adapters:
            stamp = _stamp(path)
            self._adapters[stamp] = known.get(stamp) or read_adapter(path)
            chosen.append((self._adapters[stamp], scale))
        self._stages.merge(chosen, check)

    def render(
        self, request: Request, check: Check = never, latents_path: Path | None = None
    ) -> Iterator[Event]:
        """Renders one request: phases and steps, one `Sound`, then its stretches."""
        rendering = self.rendering(request, check, latents_path)
        yield from self.place(rendering, check)
        yield from rendering.events()

    def generate(self, request: Request, *, normalise: bool = True) -> Audio:
        """Renders one request, [frames, 2] float32 at 48 kHz.

        Args:
            normalise: bring the peak to -1 dBFS.
        """
        for _ in self.load():
            pass
        parts = [e.samples for e in self.render(request) if isinstance(e, Stretch)]
        audio = torch.from_numpy(np.concatenate(parts).T)
        audio = sound.limited(audio)
        if normalise:
            audio = sound.normalised(audio)
        return np.ascontiguousarray(audio.numpy().T)

    def unload(self) -> None:
        """Gives all memory back; `load` brings the weights in again."""
        self._words.clear()
        self._adapters.clear()
        self._stages.unload()


def _stamp(path: Path) -> tuple[Path, int, int]:
    """What tells one content of an adapter file or folder from the next."""
    try:
        files = [path, *(path.iterdir() if path.is_dir() else ())]
        stats = [file.stat() for file in files]
    except OSError as error:
        raise InvalidLora(f"{path} cannot be read: {error}") from error
    return path, max(stat.st_mtime_ns for stat in stats), sum(stat.st_size for stat in stats)
