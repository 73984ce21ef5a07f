"""Seconds of ACE-Step v1's stages at full size with random weights, beside what they could be.

python -m benchmarks.ace_step_v1 MODELS [--seconds 30] [--device auto] [--bf16]
    [--stages text diffusion codec] [--output FILE]

MODELS is a checkpoint folder; a random one is written by
`python -m tests.checkpoints.ace_step_v1 FOLDER --full`. Speed does not depend on the values of the
weights. Each figure is the median of its repeats, after one run that is not counted, in which the
arithmetic is counted instead: the floor of a stage is that count at the speed of the fastest
matrix product the machine made in this very run. On a CPU floor and ratio are of processor
seconds over threads, which other programs on the machine change little. `longest_check_sec` is
the longest time between two looks for a cancel.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from lofi.backends.ace_step_v1 import needs, weights
from lofi.backends.ace_step_v1.codec import Codec
from lofi.backends.ace_step_v1.conditions import Condition, Erg, branches
from lofi.backends.ace_step_v1.config import FRAME_SAMPLES, NATIVE_RATE, frames_covering
from lofi.backends.ace_step_v1.guidance import Guidance
from lofi.backends.ace_step_v1.schedulers import schedule
from lofi.backends.ace_step_v1.velocity import Velocities
from lofi.worker import device as devices
from lofi.worker.process import memory_bytes

Figures = dict[str, Any]
STAGES = ("text", "diffusion", "codec")
STEPS = (27, 60)
PROMPT_TOKENS = 24
PEAK_SIZES = (2048, 4096)
"""Of the square products that find the machine's peak."""


class Watch:
    """A check that notes the longest time between two of its calls."""

    def __init__(self) -> None:
        self.longest_sec = 0.0
        self._last: float | None = None

    def __call__(self) -> None:
        now = time.perf_counter()
        if self._last is not None:
            self.longest_sec = max(self.longest_sec, now - self._last)
        self._last = now

    def rest(self) -> None:
        """What follows is no part of a job."""
        self._last = None


class Clock:
    """Times calls on a device, and knows how fast it could be."""

    def __init__(self, device: torch.device, dtype: torch.dtype, repeats: int) -> None:
        self.device = device
        self.dtype = dtype
        self.watch = Watch()
        self._repeats = repeats
        self._threads = torch.get_num_threads()
        self.peak_flops = self._peak()

    def measure(self, name: str, call: Callable[[], Any]) -> Figures:
        """Returns the median seconds of `call`, its floor, and their ratio."""
        self.watch.rest()
        with FlopCounterMode(display=False) as counter:
            call()
        times = self._times(call, self._repeats)
        seconds, busy = (statistics.median(column) for column in zip(*times, strict=True))
        floor = counter.get_total_flops() / self.peak_flops
        figures = {
            f"{name}_sec": seconds,
            f"{name}_busy_sec": busy,
            f"{name}_floor_sec": floor,
            f"{name}_times_floor": busy / floor,
        }
        sys.stderr.write(" ".join(f"{key}={value:.3f}" for key, value in figures.items()) + "\n")
        return figures

    def _peak(self) -> float:
        best = 0.0
        for size in PEAK_SIZES:
            square = torch.ones(size, size, device=self.device, dtype=self.dtype)
            times = self._times(partial(torch.mm, square, square), 4)[1:]
            best = max(best, 2 * size**3 / min(busy for _, busy in times))
        return best

    def _times(self, call: Callable[[], Any], count: int) -> list[tuple[float, float]]:
        """Seconds on the clock, and those that count against the floor."""
        times = []
        for _ in range(count):
            self._wait()
            self.watch.rest()
            begin, processor = time.perf_counter(), time.process_time()
            call()
            self._wait()
            seconds = time.perf_counter() - begin
            processor = (time.process_time() - processor) / self._threads
            times.append((seconds, processor if self.device.type == "cpu" else seconds))
        return times

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measure_text(models: Path, clock: Clock) -> Figures:
    """Returns the figures of the text encoder."""
    begin = time.perf_counter()
    encoder = weights.load_text_encoder(models, clock.dtype, clock.watch).to(clock.device)
    loaded = time.perf_counter() - begin
    ids = torch.full((1, PROMPT_TOKENS), 5, device=clock.device)
    mask = torch.ones_like(ids)
    return {"load_text_sec": loaded, **clock.measure("text", lambda: encoder(ids, mask))}


def measure_diffusion(models: Path, clock: Clock, frames: int) -> Figures:
    """Returns the figures of one evaluation, alone and of a guided pair."""
    begin = time.perf_counter()
    model = weights.load_transformer(models, clock.dtype, clock.watch).to(clock.device)
    figures: Figures = {"load_transformer_sec": time.perf_counter() - begin}
    states = torch.randn(1, PROMPT_TOKENS, model.config.text_embedding_dim).to(clock.device)
    text_mask = torch.ones(states.shape[:2], dtype=torch.long, device=clock.device)
    lyrics = torch.tensor([[261, 259, 6688, 2]], device=clock.device)
    condition = Condition(states, text_mask, lyrics, torch.ones_like(lyrics), null_states=states)
    x = torch.randn(1, 8, 16, frames).to(clock.device)
    timesteps = schedule("euler", STEPS[0]).timesteps
    with torch.inference_mode():

        def prepare() -> Any:
            return branches(model, condition, Guidance(), Erg(True, True), clock.watch)

        figures |= clock.measure("condition", prepare)
        memory = prepare()
        apart, pair = (
            Velocities(model, memory, timesteps, together=together, weak_null=True,
                       check=clock.watch)
            for together in (False, True)
        )  # fmt: skip
        figures |= clock.measure("evaluation", lambda: apart.conditional(3, x))
        if clock.device.type != "cpu":
            figures |= clock.measure("pair", lambda: pair.every(3, x))
    return figures


def measure_codec(models: Path, clock: Clock, frames: int) -> Figures:
    """Returns the figures of decoding, whole and by part, and of encoding."""
    begin = time.perf_counter()
    codec = Codec(
        weights.load_autoencoder(models, clock.dtype, clock.watch).to(clock.device),
        weights.load_vocoder(models, clock.dtype, clock.watch).to(clock.device),
    )
    figures: Figures = {"load_codec_sec": time.perf_counter() - begin}
    decoder = codec.autoencoder.decoder
    is_cpu = clock.device.type == "cpu"
    tile = needs.TILE_FRAMES if is_cpu else needs.TILE_FRAMES_GPU
    latents = torch.randn(1, 8, 16, frames).to(clock.device)
    audio = torch.randn(2, frames * FRAME_SAMPLES) * 0.1
    with torch.inference_mode():
        z = latents.to(clock.dtype)
        features = decoder.inner(z)[..., :tile]
        mel = torch.randn(2, 128, features.shape[-1] * 8).to(clock.device, clock.dtype)
        check = clock.watch
        for name, call in (
            ("decode", lambda: list(codec.decode(latents, tile, check))),
            ("decode_inner", lambda: decoder.inner(z, check)),
            ("decode_outer_tile", lambda: decoder.outer(features, check)),
            ("vocoder_tile", lambda: codec.vocoder(mel, check)),
            ("encode", lambda: list(codec.encode(audio, NATIVE_RATE, tile, check))),
        ):
            figures |= clock.measure(name, call)
    return figures


def measure(models: Path, seconds: float, stages: list[str], clock: Clock) -> Figures:
    """Returns the figures of one length."""
    frames = frames_covering(seconds)
    figures: Figures = {"seconds": seconds, "frames": frames, "dtype": devices.name_of(clock.dtype)}
    if "text" in stages:
        figures |= measure_text(models, clock)
    if "diffusion" in stages:
        figures |= measure_diffusion(models, clock, frames)
    gc.collect()
    if "codec" in stages:
        figures |= measure_codec(models, clock, frames)
    figures["longest_check_sec"] = clock.watch.longest_sec
    figures["resident_gib"] = memory_bytes() / 2**30
    if clock.device.type == "cuda":
        figures["peak_gib"] = torch.cuda.max_memory_allocated(clock.device) / 2**30
    if set(stages) == set(STAGES):
        figures |= _totals(figures, seconds)
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in figures.items()
    }


def _totals(figures: Figures, seconds: float) -> Figures:
    """What a whole track takes with the default guidance."""
    totals: Figures = {}
    for steps in STEPS:
        guided = len(Guidance().span(steps))
        pair = figures.get("pair_sec", 2 * figures["evaluation_sec"])
        diffusion = guided * pair + (steps - guided) * figures["evaluation_sec"]
        total = figures["text_sec"] + figures["condition_sec"] + diffusion + figures["decode_sec"]
        totals[f"total_{steps}_steps_sec"] = total
        totals[f"realtime_{steps}_steps"] = seconds / total
    return totals


def main() -> None:
    """Prints, and with --output keeps, the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("models", type=Path)
    parser.add_argument("--seconds", type=float, nargs="+", default=[30.0])
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    threads = devices.set_threads(None)
    device = devices.choose(given.device)
    dtype = torch.bfloat16 if given.bf16 else torch.float32
    clock = Clock(torch.device(device), dtype, given.repeats)
    report = {
        "device": device,
        "machine": platform.processor() or platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "threads": threads,
        "torch": str(torch.__version__),
        "peak_gflops": round(clock.peak_flops / 1e9, 1),
        # above the number of threads others were computing too, and the figures are too high
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "runs": [measure(given.models, length, given.stages, clock) for length in given.seconds],
    }
    text = json.dumps(report, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
