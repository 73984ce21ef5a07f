"""One factor for every time limit in the tests, so that a slow machine only waits longer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
FACTOR = float(os.environ.get("LOFI_TEST_TIME_FACTOR", "1"))
SHORTEST_PAUSE_SEC, LONGEST_PAUSE_SEC = 0.01, 0.06


def limit(seconds: float) -> float:
    """Returns `seconds` as this machine is allowed to take them."""
    return seconds * FACTOR


def until(probe: Callable[[], T | None], seconds: float, what: str) -> T:
    """Polls `probe` until it answers something true; fails with what it last saw.

    What does not come at once is asked for less and less often: who waits leaves the processor to
    those who are waited for.
    """
    end = time.monotonic() + limit(seconds)
    pause = SHORTEST_PAUSE_SEC
    while True:
        seen = probe()
        if seen:
            return seen
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit(seconds):.1f} s for {what}; last saw {seen!r}")
        time.sleep(pause)
        pause = min(1.2 * pause, LONGEST_PAUSE_SEC)
