"""MusicGen as a backend: recipe in, phases, tokens and sound out."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soxr
import torch
from torch import Tensor

from lofi.backends.musicgen import chroma, codec
from lofi.backends.musicgen.condition import TEXT_LIMIT_TOKENS, condition
from lofi.backends.musicgen.tokens import Sampling, draw
from lofi.backends.musicgen.weights import HOW, Loaded, load
from lofi.errors import ModelInferenceFailed, ModelNotFound, UnsupportedTask
from lofi.worker import device as devices
from lofi.worker.backend import Check, Event, Job, Model, Notice, Phase, Sound, Step, Stretch
from lofi.worker.reading import open_sound

WINDOW_SEC = 30
"""The length MusicGen was trained on."""


class MusicGen:
    """Holds one variant at a time."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None
        self._key: tuple[object, ...] = ()

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        """Brings the variant into memory; nothing to do when it is there."""
        model = job.model
        if model.path is None:
            raise ModelNotFound("MusicGen has no folder", hint=HOW)
        key = (model.path, model.variant, model.device, model.bf16)
        if self._loaded is not None and key == self._key:
            return
        self.unload()
        devices.set_threads(model.threads)
        policy = devices.policy(devices.choose(model.device), "musicgen", model.bf16)
        yield from policy.warnings
        yield Phase("loading", 1, policy.device, policy.dtype_name)
        check()
        self._loaded = load(model.path / model.variant, torch.device(policy.device), policy.dtype)
        self._key = key
        yield Step(1, 1)

    def run(self, job: Job, check: Check) -> Iterator[Event]:
        """Renders one track."""
        loaded = self._loaded
        assert loaded is not None, "load comes before run"
        recipe = job.recipe
        place, kind = str(loaded.device), str(loaded.dtype).removeprefix("torch.")
        yield Phase("encoding", 1, place, kind)
        yield from self._notices(loaded, recipe)
        melody = self._melody(loaded, job, check)
        prompt = self._prompt(loaded, job, check)
        seconds = float(recipe["duration_sec"])
        length = _codes(loaded, seconds)
        yield Phase("tokens", length, place, kind)
        codes: Tensor | None = None
        for made in self._codes(loaded, recipe, prompt, length, melody, check):
            if isinstance(made, Tensor):
                codes = made
            else:
                yield Step(made, length)
        assert codes is not None
        yield Phase("decoding", 1, place, kind)
        frames = round(seconds * loaded.sample_rate)
        yield Sound(loaded.sample_rate, loaded.channels, frames)
        samples = codec.decode(loaded, codes, check)
        if not torch.isfinite(samples).all():
            raise ModelInferenceFailed("MusicGen's codec made numbers that are no sound")
        yield Stretch(_exactly(samples.numpy(), frames))
        yield Step(1, 1)

    def operate(
        self, operation: str, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        """MusicGen plans nothing."""
        raise UnsupportedTask(f"MusicGen cannot {operation}")

    def unload(self) -> None:
        """Gives the memory back."""
        self._loaded = None
        self._key = ()
        gc.collect()

    def _notices(self, loaded: Loaded, recipe: Mapping[str, Any]) -> Iterator[Event]:
        count = len(loaded.tokenizer.encode(str(recipe["prompt"])).ids)
        if count > TEXT_LIMIT_TOKENS:
            yield Notice(
                "PROMPT_TRUNCATED",
                f"MusicGen reads {TEXT_LIMIT_TOKENS} of the prompt's {count} tokens",
                "prompt",
            )

    def _melody(self, loaded: Loaded, job: Job, check: Check) -> Tensor | None:
        path = job.audio.get("reference")
        if path is None:
            return None
        if not loaded.is_melody:
            raise UnsupportedTask(
                "Only the variant melody follows a reference", hint="Set variant=melody."
            )
        mono = _read(path, loaded.sample_rate, check).mean(1)
        return chroma.chroma(torch.from_numpy(mono), loaded.sample_rate)

    def _prompt(self, loaded: Loaded, job: Job, check: Check) -> Tensor:
        """The codes of an extended source; none for text to music."""
        rows = int(loaded.model.config.decoder.num_codebooks)
        path = job.audio.get("source")
        if job.recipe["task"] != "extend" or path is None:
            return torch.zeros(rows, 0, dtype=torch.long)
        samples = _read(path, loaded.sample_rate, check)
        if samples.shape[1] != loaded.channels:
            samples = np.repeat(samples.mean(1, keepdims=True), loaded.channels, 1)
        return codec.encode(loaded, torch.from_numpy(samples))

    def _codes(
        self,
        loaded: Loaded,
        recipe: Mapping[str, Any],
        known: Tensor,
        length: int,
        melody: Tensor | None,
        check: Check,
    ) -> Iterator[Tensor | int]:
        """Draws window by window; each later one goes on from the last codes of the one before."""
        window = WINDOW_SEC * loaded.frame_rate
        stride = int(float(recipe.get("extend_stride_sec") or WINDOW_SEC) * loaded.frame_rate)
        overlap = max(1, window - stride)
        sampling = Sampling(
            float(recipe["guidance_scale"]),
            float(recipe["temperature"]),
            int(recipe["top_k"]),
            float(recipe["top_p"]),
        )
        generator = torch.Generator().manual_seed(int(recipe["seed"]))
        heard = condition(
            loaded,
            str(recipe["prompt"]),
            str(recipe.get("negative_prompt") or ""),
            melody,
            guided=sampling.guidance > 1,
        )
        codes = known[:, :length]
        while codes.shape[1] < length:
            start = codes.shape[1]
            tail = codes[:, -overlap:]
            end = min(window, tail.shape[1] + length - start)
            for made in draw(loaded.model.decoder, heard, tail, end, sampling, generator, check):
                if isinstance(made, Tensor):
                    fresh = made[:, tail.shape[1] :].cpu()
                    codes = torch.cat([codes, fresh], 1)
                else:
                    # the last steps only fill in the late codebooks
                    yield min(start + made, start + end - tail.shape[1])
        yield codes


def _codes(loaded: Loaded, seconds: float) -> int:
    return max(1, -(-round(seconds * loaded.sample_rate) * loaded.frame_rate // loaded.sample_rate))


def _exactly(samples: np.ndarray, frames: int) -> np.ndarray:
    """Cut to the asked length; the last code may end a few samples late, never early."""
    missing = frames - samples.shape[0]
    if missing > 0:
        samples = np.pad(samples, ((0, missing), (0, 0)))
    return np.ascontiguousarray(samples[:frames], dtype=np.float32)


def _read(path: Path, sample_rate: int, check: Check) -> np.ndarray:
    """A sound file as float32 [frames, its channels] at a rate."""
    found = open_sound(path)
    blocks = []
    for block in found.blocks():
        check()
        blocks.append(block)
    samples = soxr.resample(np.concatenate(blocks), found.sample_rate, sample_rate)
    return np.asarray(samples, dtype=np.float32)
