"""The backends of this process: made when first asked for, by the name on the wire."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Iterator, Mapping

from lofi.errors import InvalidBackend
from lofi.worker.backend import Backend
from lofi.worker.process import without_collections

logger = logging.getLogger(__name__)

PACKAGES: Mapping[str, Mapping[str, str]] = {
    "light": {"procedural": "lofi.backends.procedural"},
    "neural": {
        "ace_step_15": "lofi.backends.ace_step_15",
        "ace_step": "lofi.backends.ace_step_v1",
        "musicgen": "lofi.backends.musicgen",
    },
}
"""Role, then wire type, to the package with the backend's `create()`, and with `prepare()` where
there is something to compute ahead of the first job."""


class Shelf:
    """Backends by wire type. One of them at a time is in use."""

    def __init__(self, packages: Mapping[str, str]) -> None:
        self._packages = packages
        self._made: dict[str, Backend] = {}
        self._is_fresh = True

    def backend(self, name: str) -> Backend:
        """Returns the backend, made now if this is the first time.

        Raises:
            InvalidBackend: this worker has none of that name.
            ModuleNotFoundError: a Python package it needs is absent.
        """
        made = self._made.get(name)
        if made is None:
            if name not in self._packages:
                known = ", ".join(self._packages)
                raise InvalidBackend(
                    f"This worker has no backend {name!r}", hint=f"It has: {known}."
                )
            with without_collections(for_good=self._is_fresh):
                backend: Backend = importlib.import_module(self._packages[name]).create()
            self._is_fresh = False
            self._made[name] = made = backend
        return made

    def fetch(self) -> Iterator[None]:
        """Imports every backend ahead of its first job, and lets it prepare; a piece at a time."""
        for name, package in self._packages.items():
            self.backend(name)
            yield
            yield from getattr(importlib.import_module(package), "prepare", tuple)()

    def others(self, name: str) -> Iterable[str]:
        """Returns the names of the made backends other than `name`."""
        return [other for other in self._made if other != name]

    def unload(self, name: str = "") -> None:
        """Gives back the memory of one backend, or of all of them."""
        for made in [name] if name else list(self._made):
            backend = self._made.pop(made, None)
            if backend is not None:
                backend.unload()
                logger.info("unloaded %s", made)
