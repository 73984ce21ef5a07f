"""Backends that do what a test asks of them; reached as the package `tests.fakes`."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lofi.errors import ModelNotFound
from lofi.worker.backend import (
    Answer,
    Check,
    Event,
    Facts,
    Job,
    Model,
    Notice,
    Phase,
    Sound,
    Step,
    Stretch,
)


class FakeBackend:
    """Renders a sine; the recipe's `fake` members say how it misbehaves."""

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        yield Phase("loading", 1, "cpu", "float32")
        check()
        yield Step(1, 1)

    def run(self, job: Job, check: Check) -> Iterator[Event]:
        recipe = job.recipe
        fake: Mapping[str, Any] = recipe.get("fake", {})
        rate = int(recipe.get("sample_rate", 48000))
        channels = int(recipe.get("channels", 2))
        frames = round(float(recipe["duration_sec"]) * rate)
        kind = fake.get("kind", "")
        yield Phase("diffusion", 2, "cpu", "float32")
        if kind == "print":
            print("a library talks")
            os.write(1, b"raw bytes on fd 1\n")
            libc = ctypes.CDLL(None)
            libc.puts(b"C talks, too")
            libc.fflush(None)
        if kind == "missing":
            raise ModelNotFound("There are no weights", hint="Set LOFI_MODEL_PATH.")
        if kind == "bug":
            raise ZeroDivisionError("the tensor held 4711")
        if kind == "memory":
            raise MemoryError
        if kind == "die":
            os.kill(os.getpid(), 9)
        if kind == "polite":  # works on, but asks at every step
            while True:
                time.sleep(0.01)
                check()
        if kind == "deaf":  # one long native call
            time.sleep(float(fake["seconds"]))
        if kind == "mute":
            return
        yield Step(1, 2)
        yield Step(2, 2)
        steps = int(fake.get("steps", 0))
        for done in range(1, steps + 1):
            yield Step(done, steps)
        if kind == "package":
            import lofi_has_no_such_package  # noqa: F401
        yield Facts({"bpm": np.float32(92.0), "keyscale": "A minor"})
        yield Notice("PARAM_ADJUSTED", "as asked", "steps")
        yield Phase("decoding", 0)
        yield Sound(
            rate,
            channels,
            frames,
            streams=bool(fake.get("streams", False)),
            gain=float(fake.get("gain", 1.0)),
            mastered=bool(fake.get("mastered", False)),
        )
        made = frames + int(fake.get("extra_frames", 0))
        level = float(fake.get("level", 0.5))
        size = rate // 3
        for start in range(0, made, size):
            check()
            time_sec = np.arange(start, min(start + size, made)) / rate
            wave = level * np.sin(2 * np.pi * 440 * time_sec)
            samples = np.repeat(wave[:, None], channels, axis=1).astype(np.float32)
            if kind == "shape":
                samples = samples.T
            if kind == "nan" and start + size >= made:
                samples[-1, 0] = np.nan
            yield Stretch(samples)

    def operate(
        self, operation: str, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        yield Phase("planning", 1)
        check()
        yield Answer({"operation": operation, "params": dict(params), "device": model.device})

    def unload(self) -> None:
        pass


def create() -> FakeBackend:
    return FakeBackend()
