"""The backend: a recipe in, facts and finished stretches of sound out, from the first second on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.backends.procedural.effects import QUANTUM
from lofi.backends.procedural.form import plan
from lofi.backends.procedural.renderer import Renderer
from lofi.backends.procedural.settings import SAMPLE_RATE, Settings, resolve
from lofi.errors import UnsupportedTask
from lofi.worker.backend import Check, Event, Facts, Job, Model, Phase, Sound, Step, Stretch

FIRST_STRETCH = QUANTUM // 2
"""Least frames of the first stretch: a fraction of a second, so that sound begins at once."""
STRETCH = 2 * SAMPLE_RATE
TASKS = ("text2music", "retake", "extend")


class Procedural:
    """The embedded synthesiser as a backend. It holds no weights and keeps nothing between jobs."""

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        """Has nothing to bring."""
        check()
        yield from ()

    def run(self, job: Job, check: Check) -> Iterator[Event]:
        """Renders one track; see `lofi.worker.backend.Backend.run`.

        Raises:
            UnsupportedTask: a task other than `TASKS`; `extend` of a source without a beat.
            InvalidSource: `extend` of a source that cannot be read.
            InvalidParams: a key or time signature that cannot be read.
        """
        task = str(job.recipe.get("task") or "text2music")
        if task not in TASKS:
            raise UnsupportedTask(
                f"procedural cannot do {task}",
                hint="Use ace_step_15, or task text2music, retake or extend.",
                param="task",
            )
        if task == "extend":
            yield from carry_on(job, check)
            return
        yield from play(resolve(job.recipe), check)

    def operate(
        self, operation: str, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        """Knows no operation.

        Raises:
            UnsupportedTask: always.
        """
        raise UnsupportedTask(
            f"procedural has no operation {operation}",
            hint="Name a backend that has it.",
        )
        yield from ()

    def unload(self) -> None:
        """Holds nothing to let go of."""


def facts_of(settings: Settings) -> dict[str, Any]:
    """Returns what the track's metadata says about `settings`."""
    instruments = settings.instruments
    if settings.guest not in instruments and any(s.guest for s in plan(settings).sections):
        instruments.insert(2, settings.guest)
    return {
        "bpm": settings.bpm,
        "keyscale": settings.key.name,
        "timesignature": str(settings.meter),
        "style": settings.style.name,
        "instruments": instruments,
        "loop": settings.loopable,
        "grid": {
            "bpm": settings.grid_bpm,
            "first_beat_sec": 0.0,
            "beats_per_bar": settings.bar_beats,
            "confidence": 1.0,
            "source": "score",
        },
    }


def play(settings: Settings, check: Check) -> Iterator[Event]:
    """Yields facts, the sound and its stretches for `settings`."""
    renderer = Renderer(settings, check)
    yield Facts(facts_of(settings))
    yield Phase("decoding", total=renderer.quanta, device="cpu", dtype="float64")
    yield Sound(
        sample_rate=SAMPLE_RATE,
        channels=2,
        frames=renderer.frames,
        streams=True,
        mastered=True,
    )
    waiting: list[NDArray[np.float32]] = []
    held, wanted = 0, FIRST_STRETCH
    for done, piece in enumerate(renderer.pieces(), start=1):
        waiting.append(piece)
        held += len(piece)
        if held >= wanted:
            yield Stretch(np.concatenate(waiting))
            yield Step(min(done, renderer.quanta), renderer.quanta)
            waiting, held, wanted = [], 0, STRETCH
    if waiting:
        yield Stretch(np.concatenate(waiting))
    yield Step(renderer.quanta, renderer.quanta)


def carry_on(job: Job, check: Check) -> Iterator[Event]:
    """Yields facts, the sound and its stretches for an `extend` job."""
    from lofi.backends.procedural import extension  # reads and measures sound: not before

    yield Phase("loading", device="cpu", dtype="float64")
    source = extension.read(job.recipe, job.audio.get("source"))
    wanted = extension.plan(job.recipe, source)
    facts = facts_of(source.settings)
    first = source.first_beat_sec + wanted.left / SAMPLE_RATE
    facts["grid"]["first_beat_sec"] = round(first % source.settings.bar_sec, 6)
    yield Facts(facts)
    yield Phase("decoding", total=wanted.frames, device="cpu", dtype="float64")
    yield Sound(
        sample_rate=SAMPLE_RATE, channels=2, frames=wanted.frames, streams=True, mastered=True
    )
    done = 0
    for piece in extension.pieces(source, wanted, check):
        for start in range(0, len(piece), STRETCH):
            check()
            stretch = np.ascontiguousarray(piece[start : start + STRETCH])
            done += len(stretch)
            yield Stretch(stretch)
            yield Step(done, wanted.frames)
