"""How a stage of a job is run: with retreats when memory runs out, and once more in float32."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lofi.backends.ace_step_v1.loading import Loaded
from lofi.errors import ModelInferenceFailed
from lofi.worker import memory
from lofi.worker.backend import Check, Event, Job, Notice
from lofi.worker.memory import Need
from lofi.worker.residents import Residency
from lofi.worker.retreats import Footing, Limits, withstand

SMALLER = "Generate fewer seconds, or set model.offload to sequential."


class NotFinite(Exception):
    """A stage made values that are no numbers."""


def finite(values: Tensor) -> Tensor:
    """Returns `values`.

    Raises:
        NotFinite: one of them is no number.
    """
    if not bool(torch.isfinite(values).all()):
        raise NotFinite
    return values


Attempt = Callable[[Footing], Iterator[Event]]
"""One try of a stage; called again after a retreat, so it begins anew."""


class Stages:
    """Runs the stages of one job, each on the footing the one before it ended on."""

    def __init__(
        self, loaded: Loaded, job: Job, tile_frames: int, smallest_tile: int, check: Check
    ) -> None:
        self._loaded = loaded
        self._job = job
        self._check = check
        self._limits = Limits(smallest_tile, job.model.oom_fallback == "cpu")
        device = loaded.policy.device
        self._footing = Footing(device, Residency.NONE, tile_frames)

    def place(self, needs: Sequence[Need]) -> Iterator[Event]:
        """Decides where the parts live, after waiting for other programs to leave memory."""
        model, device = self._job.model, self._loaded.policy.device
        memory.guard_paging(device)
        there = self._resident_bytes()
        is_enough = True
        if not there:
            is_enough = yield from memory.wait_for_memory(device, model, self._check)
        residency = memory.plan(needs, device, self.free_bytes(), model.offload).residency
        if not is_enough and residency is Residency.NONE and model.offload == "auto":
            residency = Residency.SEQUENTIAL
        self._loaded.residents.settle(residency)
        self._footing = replace(self._footing, residency=residency)

    def free_bytes(self) -> int:
        """Returns what the device has for this model: free now, or taken by its own parts."""
        return memory.free_bytes(self._loaded.policy.device) + self._resident_bytes()

    def _resident_bytes(self) -> int:
        residents, device = self._loaded.residents, self._loaded.policy.device
        kind = device.partition(":")[0]
        sizes = residents.sizes()
        return sum(
            size
            for name, size in sizes.items()
            if next(residents[name].parameters()).device.type == kind
        )

    def run(self, name: str, part: str, attempt: Attempt, need: Need) -> Iterator[Event]:
        """Runs one stage.

        Args:
            name: the stage for people (`decoding`).
            part: the part of the model it runs on, loaded anew in float32 when it fails.

        Raises:
            ModelInferenceFailed: it makes no numbers in float32 either.
            InsufficientMemory: no retreat is left.
        """
        try:
            yield from self._withstood(name, part, attempt, need)
        except NotFinite:
            # outside the handler, so that the failed attempt's tensors are gone
            failed = True
        else:
            failed = False
        if not failed:
            return
        if not self._loaded.in_float32(part, self._job, self._check):
            raise self._broken(name)
        yield Notice("DEGRADED", f"Values overflowed while {name}: repeated in float32")
        try:
            yield from self._withstood(name, part, attempt, need)
        except NotFinite as error:
            raise self._broken(name) from error

    def _withstood(self, name: str, part: str, attempt: Attempt, need: Need) -> Iterator[Event]:
        def settled(footing: Footing) -> Iterator[Event]:
            self._loaded.stand(part, footing, self._job, self._check)
            yield from attempt(footing)

        start = self._footing
        if start.residency is Residency.CPU:
            # that the largest part found no room says nothing of the next one
            start = replace(
                start, device=self._loaded.policy.device, residency=Residency.SEQUENTIAL
            )
        self._footing = yield from withstand(
            name,
            settled,
            start,
            self._limits,
            needed_bytes=need.weight_bytes + need.working_bytes,
            smaller=SMALLER,
        )

    def _broken(self, name: str) -> ModelInferenceFailed:
        return ModelInferenceFailed(f"The model made values that are no numbers while {name}")
