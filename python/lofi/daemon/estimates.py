"""How long a request would take and whether it fits, before anybody asks for it, and for a model
before anybody has downloaded it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from lofi import hub, parameters
from lofi.catalog import Backend, Variant
from lofi.daemon.forecast import Forecast
from lofi.daemon.inventory import Inventory
from lofi.daemon.machine import Machine
from lofi.daemon.timings import Timings, Work
from lofi.hints import how_to_install
from lofi.recipe import Request
from lofi.settings import Settings

MEGABYTE = 1024 * 1024
MINUTE_SEC = 60.0
LIGHT_MEMORY_MB = 200
WORKING_MEMORY_MB = 1024
"""What a neural backend needs beside its weights, roughly."""
FULL_BYTES, HALF_BYTES = 4, 2
"""Of a number in float32, and in bfloat16 or float16."""
_STORED_FULL = ("umt5-base", "acestep-v15-xl-")
"""Starts of components that are published in float32; MusicGen's all are."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a model asks of this machine."""

    seconds_per_minute: float | None
    """Of audio; None when nothing can be said."""
    is_measured: bool
    memory_mb: int

    def to_wire(self) -> dict[str, Any]:
        """Returns the member `estimate` of backends and of the question before a download."""
        return {
            "seconds_per_minute_of_audio": self.seconds_per_minute,
            "measured": self.is_measured,
            "memory_mb": self.memory_mb,
        }


class Estimates:
    """Answers from measured runs, the machine's speed and published sizes; loads nothing."""

    def __init__(
        self, inventory: Inventory, timings: Timings, machine: Machine, settings: Settings
    ) -> None:
        self._inventory = inventory
        self._machine = machine
        self._settings = settings
        self._forecast = Forecast(timings, lambda: machine.speed, self._device_ids)

    @property
    def is_ready(self) -> bool:
        """Whether the machine's speed is known, or known not to be had."""
        return self._machine.speed is not None or self._machine.has_measured

    async def prepare(self) -> None:
        """Learns the machine's speed."""
        await self._machine.measured()

    async def cost(self, backend: Backend, variant: Variant) -> Cost:
        """Returns what a variant costs; the first time on a machine its speed is measured."""
        await self._machine.measured()
        return self.known_cost(backend, variant)

    def known_cost(self, backend: Backend, variant: Variant) -> Cost:
        """Returns what a variant costs as far as that is known without measuring anything."""
        steps = parameters.OWN[backend.type].get("infer_steps")
        default = steps.default_for(variant.family, "text2music") if steps else 0
        work = Work(
            device=str(self._settings.value("model.device")),
            backend=backend.type,
            variant=variant.name,
            steps=int(default or 0),
            duration_sec=MINUTE_SEC,
            is_loaded=True,
        )
        expected = self._forecast.expect(work)
        is_measured = expected is not None and expected.confidence != "guess"
        seconds = None if expected is None else _rounded(expected.seconds, exact=is_measured)
        return Cost(seconds, is_measured, self._memory_mb(backend, variant))

    async def of(self, request: Request) -> dict[str, Any]:
        """Returns the result of `estimate`."""
        await self._machine.measured()
        recipe = request.takes[0].recipe
        planned = recipe.get("duration_sec") is None
        work = Work(
            device=str(self._settings.value("model.device")),
            backend=request.backend.type,
            variant=request.variant,
            steps=int(recipe.get("infer_steps") or 0),
            duration_sec=float(recipe.get("duration_sec") or request.backend.default_duration_sec),
        )
        expected = self._forecast.expect(work)
        seconds = None if expected is None else round(expected.seconds * len(request.takes), 1)
        memory_mb = self._memory_mb(request.backend, request.backend.variant(request.variant))
        free_mb = self._free_mb()
        fits = free_mb is None or memory_mb <= free_mb
        advice = []
        if not fits:
            advice.append(
                f"It wants about {memory_mb} MB and {free_mb} MB are free: ask for a shorter "
                "track, a smaller variant, or set model.offload."
            )
        if planned:
            advice.append(
                f"The planner chooses the length; this is for {work.duration_sec:g} s of it."
            )
        variant = request.backend.variant(request.variant)
        if self._inventory.checkpoint(request.backend, variant) is None:
            advice.append(f"It is not installed. {how_to_install(request.backend, variant)}")
        if expected is None:
            advice.append("Nothing was measured on this machine yet; the first run tells.")
        return {
            "seconds": seconds,
            "confidence": expected.confidence if expected and not planned else "guess",
            "memory_mb": memory_mb,
            "fits": fits,
            "advice": advice,
        }

    def _memory_mb(self, backend: Backend, variant: Variant) -> int:
        if backend.is_light:
            return LIGHT_MEMORY_MB
        held = FULL_BYTES if self._is_full_precision(backend) else HALF_BYTES
        total = 0
        for name in variant.components:
            here = self._inventory.component(backend, name)
            is_here = here.status == "present"
            stored = here.size_bytes if is_here else hub.size_bytes(backend.type, name)
            is_full = backend.type == "musicgen" or name.startswith(_STORED_FULL)
            total += stored * held // (FULL_BYTES if is_full else HALF_BYTES)
        return total // MEGABYTE + WORKING_MEMORY_MB

    def _is_full_precision(self, backend: Backend) -> bool:
        """Whether the weights are held in float32, as far as the devices are known."""
        wish = self._settings.value("model.bf16")
        if wish is not None:
            return not wish
        device = next(iter(self._inventory.devices() or ()), {})
        is_careful = backend.type == "ace_step" and not str(device.get("id")).startswith("cuda")
        return is_careful or not device.get("bf16")

    def _device_ids(self) -> list[str] | None:
        devices = self._inventory.devices()
        return None if devices is None else [str(device.get("id")) for device in devices]

    def _free_mb(self) -> int | None:
        device = next(iter(self._inventory.devices() or ()), None)
        if device is not None and device.get("memory_free_mb"):
            return int(device["memory_free_mb"])
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEGABYTE
        except (ValueError, OSError, AttributeError):  # not every system tells
            return None


def _rounded(seconds: float, *, exact: bool) -> float:
    """A guess gets two digits, no more."""
    if exact or seconds <= 0:
        return round(seconds, 1)
    return float(f"{seconds:.2g}")
