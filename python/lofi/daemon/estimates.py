"""How long a request would take and whether it fits, before anybody asks for it."""

from __future__ import annotations

import os
from typing import Any

from lofi.daemon.inventory import Inventory
from lofi.daemon.timings import Timings, Work
from lofi.recipe import Request
from lofi.settings import Settings

MEGABYTE = 1024 * 1024
LIGHT_MEMORY_MB = 200
WORKING_MEMORY_MB = 1024
"""What a neural backend needs beside its weights, roughly."""


class Estimates:
    """Answers from measured runs and sizes on disk; loads nothing."""

    def __init__(self, inventory: Inventory, timings: Timings, settings: Settings) -> None:
        self._inventory = inventory
        self._timings = timings
        self._settings = settings

    def of(self, request: Request) -> dict[str, Any]:
        """Returns the result of `estimate`."""
        recipe = request.takes[0].recipe
        planned = recipe.get("duration_sec") is None
        work = Work(
            device=str(self._settings.value("model.device")),
            backend=request.backend.type,
            variant=request.variant,
            steps=int(recipe.get("infer_steps") or 0),
            duration_sec=float(recipe.get("duration_sec") or request.backend.default_duration_sec),
        )
        expected = self._timings.expect(work)
        seconds = None if expected is None else round(expected.seconds * len(request.takes), 1)
        memory_mb, free_mb = self._memory_mb(request), self._free_mb()
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
        if expected is None:
            advice.append("Nothing was measured on this machine yet; the first run tells.")
        return {
            "seconds": seconds,
            "confidence": expected.confidence if expected and not planned else "guess",
            "memory_mb": memory_mb,
            "fits": fits,
            "advice": advice,
        }

    def _memory_mb(self, request: Request) -> int:
        if request.backend.is_light:
            return LIGHT_MEMORY_MB
        variant = request.backend.variant(request.variant)
        sizes = [
            self._inventory.component(request.backend, name).size_bytes
            for name in variant.components
        ]
        return sum(sizes) // MEGABYTE + WORKING_MEMORY_MB

    def _free_mb(self) -> int | None:
        device = next(iter(self._inventory.devices() or ()), None)
        if device is not None and device.get("memory_free_mb"):
            return int(device["memory_free_mb"])
        try:
            return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // MEGABYTE
        except (ValueError, OSError, AttributeError):  # not every system tells
            return None
