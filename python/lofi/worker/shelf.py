"""The backends of this process: made when first asked for, by the name on the wire."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Mapping

from lofi.errors import DependencyMissing, InvalidBackend
from lofi.worker.backend import Backend

logger = logging.getLogger(__name__)

PACKAGES: Mapping[str, Mapping[str, str]] = {
    "light": {"procedural": "lofi.backends.procedural"},
    "neural": {
        "ace_step_15": "lofi.backends.ace_step_15",
        "ace_step": "lofi.backends.ace_step_v1",
        "musicgen": "lofi.backends.musicgen",
    },
}
"""Role, then wire type, to the package with the backend's `create()`."""

NEURAL_PACKAGES = frozenset(
    "torch transformers safetensors huggingface_hub tokenizers yaml".split()
)
"""What the extra `neural` brings."""


class Shelf:
    """Backends by wire type. One of them at a time is in use."""

    def __init__(self, packages: Mapping[str, str]) -> None:
        self._packages = packages
        self._made: dict[str, Backend] = {}

    def backend(self, name: str) -> Backend:
        """Returns the backend, made now if this is the first time.

        Raises:
            InvalidBackend: this worker has none of that name.
            DependencyMissing: a Python package it needs is absent.
        """
        made = self._made.get(name)
        if made is None:
            if name not in self._packages:
                known = ", ".join(self._packages)
                raise InvalidBackend(
                    f"This worker has no backend {name!r}", hint=f"It has: {known}."
                )
            try:
                made = importlib.import_module(self._packages[name]).create()
            except ModuleNotFoundError as error:
                raise _missing(error, name) from error
            assert made is not None
            self._made[name] = made
        return made

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


def missing_package(package: str) -> DependencyMissing:
    """Returns the error for an absent Python package, with the command that installs it."""
    extra = "lofi[neural]" if package in NEURAL_PACKAGES else "lofi"
    return DependencyMissing(
        f"The Python package {package} is not installed",
        hint=f"Run :Lofi setup python, or: pip install '{extra}'",
        package=package,
    )


def _missing(error: ModuleNotFoundError, name: str) -> Exception:
    package = (error.name or "").partition(".")[0]
    if package in ("", "lofi", "tests"):
        return error
    logger.error("backend %s needs %s: %s", name, package, error)
    return missing_package(package)
