"""ACE-Step v1 as a backend: recipe in; phases, steps and finished stretches of sound out."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from typing import Any

from lofi.backends.ace_step_v1.loading import Loaded
from lofi.backends.ace_step_v1.rendering import Rendering
from lofi.errors import BackendNotReady, UnsupportedTask
from lofi.worker import device as devices
from lofi.worker.backend import Check, Event, Job, Model, Notice


class AceStepV1:
    """Holds the model of one folder and renders one job at a time."""

    def __init__(self) -> None:
        self._loaded: Loaded | None = None

    def load(self, job: Job, check: Check) -> Iterator[Event]:
        """Brings the parts into memory; only the adapters change when they are there.

        Raises:
            LofiError: a file is missing or broken, a package is missing, or no adapter fits.
        """
        devices.set_threads(job.model.threads)
        if self._loaded is None or not self._loaded.serves(job.model):
            self.unload()
            self._loaded = Loaded(job.model)
        if job.model.quantize != "none":
            yield Notice("PARAM_IGNORED", "ACE-Step v1 is not quantised here", "model.quantize")
        # words that cannot be sung are refused before gigabytes are read
        for name in ("lyrics", "edit_source_lyrics"):
            self._loaded.lyric_ids(
                str(job.recipe.get(name) or ""), str(job.recipe.get("vocal_language") or "unknown")
            )
        yield from self._loaded.load(job, check)

    def run(self, job: Job, check: Check) -> Iterator[Event]:
        """Renders one track.

        Raises:
            LofiError: of the request, the source, the memory or the model.
        """
        if self._loaded is None:
            raise BackendNotReady("ACE-Step v1 is not loaded")
        yield from Rendering(self._loaded, job, check).events()

    def operate(
        self, operation: str, params: Mapping[str, Any], model: Model, check: Check
    ) -> Iterator[Event]:
        """v1 has no operation but rendering.

        Raises:
            UnsupportedTask: always.
        """
        raise UnsupportedTask(
            f"ACE-Step v1 has no operation {operation!r}",
            hint="Planning and lyrics come from the planner of ACE-Step 1.5.",
        )

    def unload(self) -> None:
        """Lets go of every weight and gives the memory back to the system."""
        if self._loaded is not None:
            self._loaded.residents.clear()
            self._loaded = None
            gc.collect()
