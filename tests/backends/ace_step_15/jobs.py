"""Jobs as the worker makes them, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from lofi.backends.ace_step_15 import AceStep15
from lofi.worker.backend import Event, Facts, Job, Lora, Model, Notice, Phase, Sound, Stretch

RATE = 48000


def never() -> None:
    """A check that lets everything pass."""


def model(folder: Path, variant: str = "turbo", **options: Any) -> Model:
    options = {"device": "cpu", "bf16": False, "threads": 1, **options}
    return Model(path=folder, variant=variant, **options)


def recipe(**members: Any) -> dict[str, Any]:
    """A short recipe; the model's minimum is 5.12 s, so tests stay below it."""
    return {
        "schema": 1,
        "backend": "ace_step_15",
        "task": "text2music",
        "prompt": "rain on a window, felt piano",
        "lyrics": "[Instrumental]",
        "vocal_language": "unknown",
        "duration_sec": 2.0,
        "seed": 7,
        "infer_steps": 2,
        "shift": 3.0,
        "scheduler": "euler",
        "dcw": "off",
        "normalize": "peak",
        **members,
    }


@dataclass
class Ran:
    """Everything one job yielded."""

    events: list[Event] = field(default_factory=list)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def phases(self) -> list[str]:
        return [event.name for event in self.of(Phase)]

    @property
    def sound(self) -> Sound:
        (sound,) = self.of(Sound)
        assert isinstance(sound, Sound)
        return sound

    @property
    def samples(self) -> NDArray[np.float32]:
        return np.concatenate([event.samples for event in self.of(Stretch)])

    @property
    def notices(self) -> list[Notice]:
        return self.of(Notice)

    @property
    def facts(self) -> Mapping[str, Any]:
        return {name: value for event in self.of(Facts) for name, value in event.values.items()}


def start(backend: AceStep15, job: Job, check: Any = never) -> Iterator[Event]:
    yield from backend.load(job, check)
    yield from backend.run(job, check)


def ran(
    backend: AceStep15,
    folder: Path,
    members: Mapping[str, Any],
    *,
    variant: str = "turbo",
    audio: Mapping[str, Path] | None = None,
    loras: tuple[Lora, ...] = (),
    latents: Path | None = None,
    **options: Any,
) -> Ran:
    """Runs one job to its end."""
    job = Job(
        recipe=recipe(**members),
        model=model(folder, variant, **options),
        audio=audio or {},
        loras=loras,
        latents_path=latents,
    )
    return Ran(list(start(backend, job)))


def tone(path: Path, seconds: float = 3.0, rate: int = 44100) -> Path:
    """Writes a mono sound with something in it everywhere."""
    t = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1 * np.sin(2 * np.pi * 3 * t)
    soundfile.write(path, wave.astype(np.float32), rate)
    return path
