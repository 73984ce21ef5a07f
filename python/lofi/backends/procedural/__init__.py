"""The embedded synthesiser: lo-fi from a seed and a prompt, numpy only, streamed."""

from __future__ import annotations

from collections.abc import Iterator

from lofi.worker.backend import Backend


def create() -> Backend:
    """Returns the backend; it is ready at once."""
    from lofi.backends.procedural.pipeline import Procedural

    return Procedural()


def prepare() -> Iterator[None]:
    """Computes what all tracks share, a piece at a time, ahead of the first."""
    from lofi.backends.procedural.ambience import HISS, RAIN, noise_table
    from lofi.backends.procedural.effects import room_noise

    noise_table(*HISS)
    yield
    room_noise()
    yield
    noise_table(*RAIN)
    yield
