"""Blocks of sound, and NumPy for them: imported by the first who computes.

It would be a third of what a cold daemon imports before its first answer.
"""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["Block", "np", "prepare"]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Block = NDArray[np.float32]
    """[frames, channels]."""
else:
    Block = Any

    class _Late:
        """Stands for a module until something of it is asked for; any thread may ask."""

        def __getattr__(self, name: str) -> Any:
            value = getattr(importlib.import_module("numpy"), name)
            setattr(self, name, value)
            return value

    np = _Late()


def prepare() -> None:
    """Imports what the first sound will ask for; for a thread beside the loop."""
    for name in ("numpy", "miniaudio"):
        with contextlib.suppress(ImportError):  # who needs it says so
            importlib.import_module(name)
