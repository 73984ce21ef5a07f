"""Seconds of ACE-Step v1's stages at full size with random weights.

python -m benchmarks.ace_step_v1 MODELS [--seconds 30] [--device auto] [--bf16] [--output FILE]

MODELS is a checkpoint folder; a random one is written by
`python -m tests.checkpoints.ace_step_v1 FOLDER --full`. Speed does not depend on the values of the
weights. Each figure is the median of its repeats, after one run that is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lofi.backends.ace_step_v1 import needs, weights
from lofi.backends.ace_step_v1.codec import Codec
from lofi.backends.ace_step_v1.conditions import Condition, Erg, branches
from lofi.backends.ace_step_v1.config import FRAME_SAMPLES, NATIVE_RATE, frames_covering
from lofi.backends.ace_step_v1.guidance import Guidance
from lofi.backends.ace_step_v1.schedulers import schedule
from lofi.backends.ace_step_v1.velocity import Velocities
from lofi.worker import device as devices

Figures = dict[str, Any]
STEPS = (27, 60)
PROMPT_TOKENS = 24


def nothing() -> None:
    """The check of a run nobody cancels."""


class Clock:
    """Times calls on a device."""

    def __init__(self, device: torch.device, repeats: int) -> None:
        self.device = device
        self._repeats = repeats

    def seconds(self, call: Callable[[], Any]) -> float:
        """Returns the median seconds of `call`."""
        times = []
        for _ in range(self._repeats + 1):
            self._wait()
            begin = time.perf_counter()
            call()
            self._wait()
            times.append(time.perf_counter() - begin)
        return statistics.median(times[1:])

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure_text(models: Path, dtype: torch.dtype, clock: Clock) -> tuple[Figures, Tensor]:
    """Returns the figures of the text encoder, and states of a prompt."""
    encoder = weights.load_text_encoder(models, dtype, nothing).to(clock.device)
    ids = torch.full((1, PROMPT_TOKENS), 5, device=clock.device)
    mask = torch.ones_like(ids)
    return {"text_sec": clock.seconds(lambda: encoder(ids, mask))}, encoder(ids, mask)


def measure_diffusion(
    models: Path, dtype: torch.dtype, clock: Clock, states: Tensor, frames: int
) -> Figures:
    """Returns the figures of one evaluation, alone and of a guided pair."""
    begin = time.perf_counter()
    model = weights.load_transformer(models, dtype, nothing).to(clock.device)
    figures: Figures = {"load_transformer_sec": time.perf_counter() - begin}
    text_mask = torch.ones(states.shape[:2], dtype=torch.long, device=clock.device)
    lyrics = torch.tensor([[261, 259, 6688, 2]], device=clock.device)
    condition = Condition(states, text_mask, lyrics, torch.ones_like(lyrics), null_states=states)
    x = torch.randn(1, 8, 16, frames).to(clock.device)
    timesteps = schedule("euler", STEPS[0]).timesteps
    with torch.inference_mode():
        memory = branches(model, condition, Guidance(), Erg(True, True), nothing)
        pair, apart = (
            Velocities(model, memory, timesteps, together=together, weak_null=True, check=nothing)
            for together in (True, False)
        )
        figures["pair_sec"] = clock.seconds(lambda: pair.every(3, x))
        figures["pair_apart_sec"] = clock.seconds(lambda: apart.every(3, x))
        figures["single_sec"] = clock.seconds(lambda: pair.conditional(3, x))
    return figures


def measure_codec(models: Path, dtype: torch.dtype, clock: Clock, frames: int) -> Figures:
    """Returns the figures of decoding, whole and by part, and of encoding."""
    codec = Codec(
        weights.load_autoencoder(models, dtype, nothing).to(clock.device),
        weights.load_vocoder(models, dtype, nothing).to(clock.device),
    )
    decoder = codec.autoencoder.decoder
    tile = needs.TILE_FRAMES if clock.device.type == "cpu" else needs.TILE_FRAMES_GPU
    latents = torch.randn(1, 8, 16, frames).to(clock.device)
    audio = torch.randn(2, frames * FRAME_SAMPLES) * 0.1
    with torch.inference_mode():
        z = latents.to(dtype)
        features = decoder.inner(z)[..., :tile]
        mel = torch.randn(2, 128, features.shape[-1] * 8).to(clock.device, dtype)
        return {
            "decode_sec": clock.seconds(lambda: list(codec.decode(latents, tile))),
            "decode_inner_sec": clock.seconds(lambda: decoder.inner(z)),
            "decode_outer_tile_sec": clock.seconds(lambda: decoder.outer(features)),
            "vocoder_tile_sec": clock.seconds(lambda: codec.vocoder(mel)),
            "encode_sec": clock.seconds(lambda: list(codec.encode(audio, NATIVE_RATE, tile))),
        }


def measure(models: Path, seconds: float, dtype: torch.dtype, clock: Clock) -> Figures:
    """Returns the figures of one length in one precision."""
    frames = frames_covering(seconds)
    figures: Figures = {"seconds": seconds, "frames": frames, "dtype": devices.name_of(dtype)}
    text, states = measure_text(models, dtype, clock)
    figures |= text
    figures |= measure_diffusion(models, dtype, clock, states, frames)
    figures |= measure_codec(models, dtype, clock, frames)
    for steps in STEPS:
        guided = len(Guidance().span(steps))
        pair = min(figures["pair_sec"], figures["pair_apart_sec"])
        diffusion = guided * pair + (steps - guided) * figures["single_sec"]
        total = figures["text_sec"] + diffusion + figures["decode_sec"]
        figures[f"total_{steps}_steps_sec"] = total
        figures[f"realtime_{steps}_steps"] = seconds / total
    if clock.device.type == "cuda":
        figures["peak_gib"] = torch.cuda.max_memory_allocated(clock.device) / 2**30
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def main() -> None:
    """Prints, and with --output keeps, the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("models", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[30.0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    devices.set_threads(None)
    device = devices.choose(given.device)
    dtype = torch.bfloat16 if given.bf16 else torch.float32
    clock = Clock(torch.device(device), given.repeats)
    report = {
        "device": device,
        "machine": platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        # above the number of threads others were computing too, and the figures are too high
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "runs": [measure(given.models, seconds, dtype, clock) for seconds in given.seconds],
    }
    text = json.dumps(report, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
