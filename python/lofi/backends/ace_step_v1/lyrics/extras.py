"""The language packages sung lyrics may need; instrumental music needs none of them."""

from __future__ import annotations

import importlib
from types import ModuleType

from lofi.errors import DependencyMissing


def language_package(module: str, purpose: str) -> ModuleType:
    """Returns the imported module.

    Raises:
        DependencyMissing: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DependencyMissing(
            f"{purpose} needs the Python package {module}, which is not installed",
            hint="Run pip install 'lofi[lyrics]', or make the track instrumental.",
            package=module,
        ) from error
