"""The backend objects of the protocol, made from the catalog, the disk and the lanes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lofi import catalog, hub, parameters
from lofi.catalog import Backend, Variant
from lofi.daemon.estimates import Estimates
from lofi.daemon.inventory import Inventory
from lofi.daemon.lane import LaneRunner
from lofi.daemon.queue import Lane
from lofi.paths import Paths
from lofi.settings import Settings

MEGABYTE = 1024 * 1024


class Backends:
    """Describes backends as they are now."""

    def __init__(
        self,
        inventory: Inventory,
        estimates: Estimates,
        settings: Settings,
        paths: Paths,
        lane: Callable[[Lane], LaneRunner],
        is_downloading: Callable[[Backend], bool],
    ) -> None:
        self._inventory = inventory
        self._estimates = estimates
        self._settings = settings
        self._paths = paths
        self._lane = lane
        self._is_downloading = is_downloading

    def all(self) -> list[dict[str, Any]]:
        with self._inventory.glance():
            return [self.describe(backend) for backend in catalog.BACKENDS.values()]

    def status(self, backend: Backend, variant: Variant) -> str:
        """Returns `not_installed`, `partial`, `downloading`, `loading`, `ready` or `error`."""
        if self._is_downloading(backend):
            return "downloading"
        runner = self._lane(lane_of(backend))
        if runner.failure is not None:
            return "error"
        if runner.loading == backend.type:
            return "loading"
        if self._inventory.checkpoint(backend, variant) is not None:
            return "ready"
        found = [self._inventory.component(backend, name) for name in variant.components]
        # Components that variants share say nothing about one of them.
        own = [part for part in found if part.name == variant.components[0]]
        is_begun = any(self._inventory.is_begun(backend, part.name) for part in own)
        if all(part.status == "missing" for part in own) and not is_begun:
            return "not_installed"
        return "partial"

    def chosen_variant(self, backend: Backend) -> Variant:
        return backend.variant(self._inventory.default_variant(backend))

    def describe(self, backend: Backend) -> dict[str, Any]:
        """Returns the backend object (`get_backends`, `backend_changed`)."""
        runner = self._lane(lane_of(backend))
        variant = self.chosen_variant(backend)
        checkpoint = self._inventory.checkpoint(backend, variant)
        components = [self._inventory.component(backend, name) for name in variant.components]
        problems = [part.problem for part in components if part.status == "broken"]
        is_loaded = backend.is_light or backend.type in runner.loaded
        memory = runner.worker.memory_bytes if is_loaded and runner.worker.is_running else 0
        on_disk = sum(part.size_bytes for part in components)
        return {
            "type": backend.type,
            "name": backend.name,
            "status": self.status(backend, variant),
            "loaded": is_loaded,
            "min_duration_sec": backend.min_duration_sec,
            "max_duration_sec": backend.max_duration_sec,
            "default_duration_sec": backend.default_duration_sec,
            "sample_rate": backend.sample_rate,
            "channels": variant.channels or backend.channels,
            "model_version": checkpoint.model_version
            if checkpoint
            else backend.model_version(variant.name),
            "variant": variant.name,
            "variants": [
                {
                    "name": each.name,
                    "status": self.status(backend, each),
                    "bytes": _download_bytes(backend, each),
                }
                for each in backend.variants
            ],
            "lm_sizes": list(checkpoint.lm_sizes) if checkpoint else [],
            "planners": self._planners(backend),
            "tasks": list(variant.tasks),
            "params": [*parameters.SHARED, *parameters.OWN[backend.type]],
            "languages": list(backend.languages),
            "components": [
                {
                    "name": part.name,
                    "bytes": part.size_bytes or hub.size_bytes(backend.type, part.name),
                    "status": part.status,
                }
                for part in components
            ],
            "path": None if backend.is_light else str(self._paths.models(backend.type)),
            "bytes_on_disk": on_disk,
            "download_bytes": 0 if checkpoint else _download_bytes(backend, variant),
            "device": str(self._settings.value("model.device")) if is_loaded else None,
            "dtype": None,
            "memory_mb": round(memory / MEGABYTE) if memory else None,
            "license": backend.license,
            "source": backend.source,
            "error": runner.failure or (problems[0] if problems else None),
            "estimate": self._estimates.known_cost(backend, variant).to_wire(),
        }

    def _planners(self, backend: Backend) -> list[dict[str, Any]]:
        if backend.type != "ace_step_15":
            return []
        planners = []
        for size in catalog.LM_SIZES:
            name = catalog.lm_component(size)
            size_bytes = hub.PUBLISHED[backend.type][name].size_bytes
            status = self._inventory.component(backend, name).status
            wire = {"present": "ready", "missing": "not_installed"}.get(status, "partial")
            planners.append({"name": size, "status": wire, "bytes": size_bytes})
        return planners


def _download_bytes(backend: Backend, variant: Variant) -> int | None:
    return None if backend.is_light else hub.order(backend, variant).size_bytes


def lane_of(backend: Backend) -> Lane:
    """Returns the lane that serves a backend."""
    return Lane.LIGHT if backend.is_light else Lane.NEURAL
