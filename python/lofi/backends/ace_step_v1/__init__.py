"""ACE-Step v1 (3.5B): text to music, and the variations of what it made."""

from __future__ import annotations

from lofi.backends.ace_step_v1.pipeline import AceStepV1
from lofi.worker.backend import Backend


def create() -> Backend:
    """Returns the backend, with nothing loaded."""
    return AceStepV1()
