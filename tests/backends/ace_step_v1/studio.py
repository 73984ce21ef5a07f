"""A v1 backend on a checkpoint, its jobs from recipe to samples, and a way to break its parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from lofi.backends.ace_step_v1 import create
from lofi.backends.ace_step_v1.pipeline import AceStepV1
from lofi.worker.backend import (
    Check,
    Event,
    Job,
    Lora,
    Model,
    Notice,
    Sound,
    Stretch,
    nothing,
)

RECIPE = {
    "task": "text2music",
    "prompt": "rain on a window, felt piano",
    "lyrics": "[inst]",
    "vocal_language": "unknown",
    "duration_sec": 5.0,
    "seed": 3,
    "infer_steps": 4,
    "guidance_scale": 15.0,
    "scheduler": "euler",
}
Samples = NDArray[np.float32]


class Studio:
    """A backend on one checkpoint; keeps the events of the last job."""

    def __init__(self, models: Path) -> None:
        self.models = models
        self.backend = create()
        self.events: list[Event] = []

    def render(
        self,
        *,
        audio: dict[str, Path] | None = None,
        loras: tuple[Lora, ...] = (),
        latents_path: Path | None = None,
        check: Check = nothing,
        model: dict[str, Any] | None = None,
        **recipe: Any,
    ) -> Samples:
        """Returns the samples of a job [frames, 2]."""
        settings = {"path": self.models, "device": "cpu", "threads": 1, **(model or {})}
        job = Job({**RECIPE, **recipe}, Model(**settings), audio or {}, loras, latents_path)
        self.events = []
        stretches = []
        for run in (self.backend.load, self.backend.run):
            for event in run(job, check):
                self.events.append(event)
                if isinstance(event, Stretch):
                    stretches.append(event.samples)
        (sound,) = self.of(Sound)
        samples = np.concatenate(stretches)
        assert samples.shape == (sound.frames, 2)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert 1e-3 < np.abs(samples).max() <= 1.0
        return samples

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def warned(self) -> list[str]:
        return [notice.code for notice in self.of(Notice)]

    def write(self, samples: Samples, path: Path) -> Path:
        """Writes samples as they are; returns `path`."""
        soundfile.write(path, samples, 48000, subtype="FLOAT")
        return path

    def poison(self, part: str, inside: str = "") -> None:
        """Makes a loaded part compute nothing but NaN; its file stays whole."""
        assert isinstance(self.backend, AceStepV1) and self.backend._loaded is not None
        module = self.backend._loaded.residents[part].get_submodule(inside)
        for parameter in module.parameters():
            parameter.data = torch.full_like(parameter, float("nan"))
