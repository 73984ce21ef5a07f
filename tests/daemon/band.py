"""A backend whose prompt says how it behaves; the daemon's tests reach it by name.

Words of the prompt: `steps=N`, `step=SECONDS`, `fail`, `fail_late`, `die=STEP`, `stubborn`,
`stream`, `load=SECONDS`, `part=SECONDS`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lofi.errors import InsufficientMemory, ModelInferenceFailed
from lofi.worker.backend import (
    Answer,
    Check,
    Event,
    Facts,
    Job,
    Model,
    Phase,
    Sound,
    Step,
    Stretch,
)

RATE = 48000


class Band:
    """Renders a sine whose pitch is the seed's."""

    def __init__(self) -> None:
        self._is_loaded = False

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        words = _words(job.recipe)
        if not self._is_loaded:
            yield Phase("loading", 1, "cpu", "float32")
            _work(float(words.get("load", 0)), check)
            yield Step(1, 1)
            self._is_loaded = True

    def run(self, job: Job, check: Check) -> Iterator[Event]:
        words = _words(job.recipe)
        steps, each_sec = int(words.get("steps", 4)), float(words.get("step", 0))
        if "fail" in words:
            raise InsufficientMemory("It wants 9 GB", hint="Ask for less.")
        yield Phase("diffusion", steps, "cpu", "float32")
        for step in range(1, steps + 1):
            if str(step) == words.get("die"):
                os.kill(os.getpid(), signal.SIGKILL)
            while "stubborn" in words:
                time.sleep(0.1)
            _work(each_sec, check)
            yield Step(step, steps)
        if "fail_late" in words:
            raise ModelInferenceFailed("It made no numbers")
        frames = round(float(job.recipe["duration_sec"]) * RATE)
        yield Phase("decoding", 10, "cpu", "float32")
        yield Sound(RATE, 2, frames, streams="stream" in words)
        times = np.arange(frames, dtype=np.float64) / RATE
        pitch_hz = 220 + int(job.recipe["seed"]) % 220
        wave = (0.5 * np.sin(2 * np.pi * pitch_hz * times)).astype(np.float32)
        sound = np.stack([wave, wave], axis=1)
        for index, part in enumerate(np.array_split(sound, 10), 1):
            _work(float(words.get("part", 0)), check)
            yield Stretch(part)
            yield Step(index, 10)
        yield Facts({"bpm": 80})

    def operate(
        self, operation: str, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        yield Answer({})

    def unload(self) -> None:
        self._is_loaded = False


def create() -> Band:
    return Band()


def _words(recipe: Mapping[str, Any]) -> dict[str, str]:
    parts = [word.partition("=") for word in str(recipe.get("prompt", "")).split()]
    return {name: value for name, _, value in parts}


def _work(seconds: float, check: Check) -> None:
    end = time.monotonic() + seconds
    check()
    while time.monotonic() < end:
        time.sleep(0.005)
        check()
