"""The embedded synthesiser: lo-fi from a seed and a prompt, numpy only, streamed."""

from __future__ import annotations

from lofi.worker.backend import Backend


def create() -> Backend:
    """Returns the backend; it is ready at once."""
    from lofi.backends.procedural.pipeline import Procedural

    return Procedural()
