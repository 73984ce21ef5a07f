"""MusicGen (small, medium, large, stereo and melody), on transformers' layers."""

from __future__ import annotations

from lofi.worker.backend import Backend


def create() -> Backend:
    """Returns the backend, with no model in memory yet."""
    from lofi.backends.musicgen.pipeline import MusicGen

    return MusicGen()
