"""What of each backend is installed, and what requests may depend on beyond their own words."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lofi import catalog, checkpoints
from lofi.catalog import Backend, Variant
from lofi.daemon import durable
from lofi.errors import LofiError
from lofi.paths import Paths
from lofi.recipe import Checkpoint
from lofi.settings import Settings

GIGABYTE_MB = 1024
STAGING = ".staging"
"""Where downloads grow, in each models folder."""
_LM_TIERS_MB = ((6 * GIGABYTE_MB, None), (12 * GIGABYTE_MB, "0.6b"), (24 * GIGABYTE_MB, "1.7b"))
"""Device memory up to which a planner is the default; above, the largest."""
_MODEL_SETTINGS = ("device", "bf16", "offload", "threads", "vae_tile_sec", "min_free_vram_mb",
                   "vram_wait_sec", "oom_fallback", "keep_loaded")  # fmt: skip

Signature = tuple[tuple[str, int, int], ...]


class Inventory:
    """Checkpoints on disk, looked at again only when their folders have changed."""

    def __init__(self, paths: Paths, settings: Settings) -> None:
        self._paths = paths
        self._settings = settings
        self._checkpoints: dict[tuple[str, str], tuple[Signature, Checkpoint | None]] = {}
        self._components: dict[tuple[Path, str], tuple[Signature, checkpoints.Component]] = {}
        self._devices: tuple[Signature, list[dict[str, Any]] | None] = ((), None)
        self._seen: dict[tuple[str, str], Signature] | None = None
        """What this glance has looked at."""

    @contextmanager
    def glance(self) -> Iterator[None]:
        """Looks at each folder once while the block lasts, for an answer made in one go."""
        if self._seen is not None:
            yield
            return
        self._seen = {}
        try:
            yield
        finally:
            self._seen = None

    # What `recipe.resolve` asks.

    def checkpoint(self, backend: Backend, variant: Variant) -> Checkpoint | None:
        if backend.is_light:
            return Checkpoint(variant.name, variant.family, backend.model_version(variant.name))
        models = self._paths.models(backend.type)
        names = list(variant.components)
        if backend.type == "ace_step_15":
            names += [catalog.lm_component(size) for size in catalog.LM_SIZES]
        signature = tuple(part for name in names for part in self._signature(backend, name))
        key = (backend.type, variant.name)
        known = self._checkpoints.get(key)
        if known is None or known[0] != signature:
            known = (signature, checkpoints.checkpoint(models, backend, variant))
            self._checkpoints[key] = known
        return known[1]

    def default_backend(self) -> str:
        return str(self._settings.value("model.backend"))

    def own_defaults(self, backend: Backend) -> Mapping[str, Any]:
        return self._settings.own_defaults(backend.type)

    def default_variant(self, backend: Backend) -> str | None:
        """The configured variant counts only for the backend that has one of that name."""
        name = self._settings.value("model.variant")
        if name is not None:
            try:
                return backend.variant(str(name)).name
            except LofiError:
                pass
        return self._first_installed(backend)

    def fallback(self) -> str:
        return str(self._settings.value("model.fallback"))

    def default_lm(self) -> str:
        return str(self._settings.value("model.lm"))

    def lm_for_tier(self, installed: tuple[str, ...]) -> str | None:
        memory_mb = max(
            (int(device.get("memory_total_mb") or 0) for device in self.devices() or ()
             if device.get("id") != "cpu"),
            default=0,
        )  # fmt: skip
        wanted: str | None = catalog.LM_SIZES[-1]
        for limit_mb, size in _LM_TIERS_MB:
            if memory_mb <= limit_mb:
                wanted = size
                break
        if wanted is None:
            return None
        allowed = catalog.LM_SIZES[: catalog.LM_SIZES.index(wanted) + 1]
        fitting = [size for size in installed if size in allowed]
        return fitting[-1] if fitting else None

    def _first_installed(self, backend: Backend) -> str | None:
        """With weights of one variant only, that one is meant; else the backend's default."""
        default = backend.variant(None)
        if self.checkpoint(backend, default) is not None:
            return None
        installed = [
            variant.name for variant in backend.variants if self.checkpoint(backend, variant)
        ]
        return installed[0] if installed else None

    # What else the daemon asks.

    def component(self, backend: Backend, name: str) -> checkpoints.Component:
        """Returns what is there of one component."""
        models = self._paths.models(backend.type)
        signature = self._signature(backend, name)
        known = self._components.get((models, name))
        if known is None or known[0] != signature:
            known = (signature, checkpoints.inspect(models, name))
            self._components[models, name] = known
        return known[1]

    def _signature(self, backend: Backend, name: str) -> Signature:
        """What the component's folder holds, without reading it; the same for a whole glance."""
        seen = self._seen
        if seen is None:  # removal looks from a thread
            seen = {}
        place = (backend.type, name)
        if place not in seen:
            seen[place] = _signature(self._paths.models(backend.type) / name)
        return seen[place]

    def is_begun(self, backend: Backend, name: str) -> bool:
        """Returns whether a download of the component was begun and not finished."""
        return len(self._signature(backend, f"{STAGING}/{name}")) > 1

    def is_installed(self, backend: Backend) -> bool:
        return any(self.checkpoint(backend, variant) for variant in backend.variants)

    def devices(self) -> list[dict[str, Any]] | None:
        """Returns what the device probe saw; None until it has run."""
        path = self._paths.devices_file
        signature = _signature(path)
        if self._devices[0] != signature or not signature:
            devices = durable.read_json(path).get("devices")
            self._devices = (signature, devices if isinstance(devices, list) else None)
        return self._devices[1]

    def model_fields(self, backend: str, variant: str) -> dict[str, Any]:
        """Returns the fields of a worker's model: which weights to hold and how."""
        fields = {name: self._settings.value(f"model.{name}") for name in _MODEL_SETTINGS}
        fields["variant"] = variant
        if not catalog.BACKENDS[backend].is_light:
            fields["path"] = str(self._paths.models(backend))
        return fields


class Presumed:
    """The world in which one backend is installed: what a request to it would be."""

    def __init__(self, inventory: Inventory, backend: str) -> None:
        self._inventory = inventory
        try:
            self._type = catalog.backend_named(backend).type
        except LofiError:
            self._type = ""  # auto; or nothing, which whoever resolves the request will say

    def checkpoint(self, backend: Backend, variant: Variant) -> Checkpoint | None:
        found = self._inventory.checkpoint(backend, variant)
        if found is None and backend.type == self._type:
            return Checkpoint(variant.name, variant.family, backend.model_version(variant.name))
        return found

    def default_backend(self) -> str:
        return self._inventory.default_backend()

    def own_defaults(self, backend: Backend) -> Mapping[str, Any]:
        return self._inventory.own_defaults(backend)

    def default_variant(self, backend: Backend) -> str | None:
        return self._inventory.default_variant(backend)

    def fallback(self) -> str:
        return self._inventory.fallback()

    def default_lm(self) -> str:
        return self._inventory.default_lm()

    def lm_for_tier(self, installed: tuple[str, ...]) -> str | None:
        return self._inventory.lm_for_tier(installed)


def default_name(inventory: Inventory, is_ready: Callable[[Backend], bool]) -> str:
    """Returns the backend that a request without one gets now."""
    chosen = inventory.default_backend()
    if chosen != catalog.AUTO and is_ready(catalog.BACKENDS[chosen]):
        return chosen
    for name in catalog.NEURAL_ORDER:
        if is_ready(catalog.BACKENDS[name]):
            return name
    return "procedural"


def _signature(path: Path) -> Signature:
    """Names, sizes and times of a folder and every file in it: some `stat` calls, no reading."""
    try:
        here = path.stat()
    except OSError:
        return ()
    parts = [(str(path), here.st_size, here.st_mtime_ns)]
    try:
        with os.scandir(path) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                parts.append((entry.path, *_size_and_time(entry)))
    except OSError:  # a file
        pass
    return tuple(parts)


def _size_and_time(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        stat = entry.stat()
    except OSError:  # a link to nowhere
        return (-1, 0)
    return (stat.st_size, stat.st_mtime_ns)
