"""ACE-Step 1.5's memory on this machine's CPU: loading it, and each stage against its plan.

    python -m benchmarks.memory_15 MODELS [--variant turbo] [--seconds 10 60 240 600]
                                          [--bf16 | --float32] [--output FILE]

A thread reads the process's anonymous memory every few milliseconds. A step of the diffusion is
left after four layers: all layers have the same shapes, one with a window, one without. Decoding is
left after three tiles: the first, one in the middle, whose views look both ways, and one more.
`python -m tests.checkpoints.ace_step_15 FOLDER --full` writes a random checkpoint.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from lofi.backends.ace_step_15 import Pipeline, Request
from lofi.backends.ace_step_15.rendering import Rendering
from lofi.errors import GenerationCancelled
from lofi.worker.backend import Step
from lofi.worker.memory import peak_bytes
from lofi.worker.process import memory_bytes, trim
from lofi.worker.residents import Residency

INTERVAL_SEC = 0.003
LAYERS, TILES = 4, 3
MEGABYTE = 2**20


class Watch:
    """The most anonymous memory while it is on, and what there was before."""

    def __init__(self) -> None:
        self.before = self.most = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        trim()
        self.before = self.most = memory_bytes()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @property
    def grown(self) -> int:
        """Bytes above what there was."""
        return self.most - self.before

    def _look(self) -> None:
        while not self._over.wait(INTERVAL_SEC):
            self.most = max(self.most, memory_bytes())


@contextmanager
def _left_early() -> Iterator[None]:
    with suppress(GenerationCancelled):
        yield


class Interrupted:
    """A check that cancels once `LAYERS` layers of the decoder are done."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.layers: int | None = None
        with pipeline.stages.use("dit") as model:
            for layer in model.decoder.layers:
                layer.register_forward_hook(self._count)

    def _count(self, *_: Any) -> None:
        if self.layers is not None:
            self.layers += 1

    def __call__(self) -> None:
        if self.layers is not None and self.layers >= LAYERS:
            raise GenerationCancelled("far enough")


def stages(pipeline: Pipeline, check: Interrupted, seconds: float) -> dict[str, Any]:
    """Each stage's growth and its plan, in MB, for a track of `seconds`."""
    request = Request(prompt="rain on a window, felt piano", duration_sec=seconds, seed=1, steps=1)
    check.layers = None
    rendering = pipeline.rendering(request, check)
    needs = rendering.needs(pipeline.tile_frames)
    grown: dict[str, int] = {}
    highest = 0
    for need, run in zip(needs, (_encode, _diffuse, _decode), strict=True):
        with Watch() as watch, _left_early():
            run(rendering, check)
        grown[need.module] = watch.grown
        highest = max(highest, watch.most)
    plan = peak_bytes(needs, Residency.NONE)
    return {
        "peak_mb": highest // MEGABYTE,
        "planned_mb": plan // MEGABYTE,
        "planned / measured": round(plan / highest, 3),
        "working_mb": {name: size // MEGABYTE for name, size in grown.items()},
        "planned_working_mb": {need.module: need.working_bytes // MEGABYTE for need in needs},
    }


def _encode(rendering: Rendering, check: Interrupted) -> None:
    for _ in rendering.encode_words():
        pass


def _diffuse(rendering: Rendering, check: Interrupted) -> None:
    check.layers = 0
    try:
        for _ in rendering.diffuse():
            pass
    finally:
        check.layers = None


def _decode(rendering: Rendering, check: Interrupted) -> None:
    channels = rendering.stages.bundle.config.latent_channels
    rendering.latents = torch.randn(1, rendering.frames, channels)
    for event in rendering.decode():
        if isinstance(event, Step) and event.done >= TILES:
            return


def main() -> None:
    """Measures and prints one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path)
    parser.add_argument("--variant", default="turbo")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10, 60, 240, 600])
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    pipeline = Pipeline.open(arguments.models, arguments.variant, device="cpu", bf16=arguments.bf16)
    begin = time.perf_counter()
    with Watch() as watch:
        for _ in pipeline.load():
            pass
    loaded = time.perf_counter() - begin
    weights = pipeline.stages.weight_bytes()
    table: dict[str, Any] = {
        "variant": arguments.variant,
        "torch": torch.__version__,
        "dtype": pipeline.stages.policy.dtype_name,
        "weights_mb": weights // MEGABYTE,
        "before_loading_mb": watch.before // MEGABYTE,
        "load": {
            "seconds": round(loaded, 2),
            "peak_mb": watch.grown // MEGABYTE,
            "kept_mb": (memory_bytes() - watch.before) // MEGABYTE,
            "peak / weights": round(watch.grown / weights, 3),
        },
        "seconds": {},
    }
    check = Interrupted(pipeline)
    for seconds in arguments.seconds:
        table["seconds"][f"{seconds:g}"] = stages(pipeline, check, seconds)
    text = json.dumps(table, indent=1)
    print(text)
    if arguments.output is not None:
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
