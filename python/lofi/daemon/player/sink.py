"""Where sound goes: the contract of a sink, and the one that plays to a clock.

A sink asks for the next frames when it needs them, from a thread of its own. `device.py` has the
sink that is heard, `recorder.py` the one that writes a file, `output.py` chooses among them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from lofi.daemon.player.mixer import CHANNELS
from lofi.daemon.player.samples import Block, np

Fill = Callable[[Block], None]
"""Writes the next frames into all of [frames, 2]; called in the sink's thread."""

PERIOD_SEC = 0.02
CLOCK_RATE = 48000
LAG_LIMIT_SEC = 1.0
"""A clock that was held up plays what it missed, up to this much; then it starts anew."""


class Sink(Protocol):
    """An open output. `start` and `stop` may alternate; none of them waits for music to end."""

    name: str
    """What a person calls it."""
    sample_rate: int

    def start(self, fill: Fill) -> None:
        """Begins to ask `fill` for frames; nothing when it already does."""

    def stop(self) -> None:
        """Ends asking; what was handed over last need not be heard. Idempotent."""

    def close(self) -> None:
        """Stops and lets go of everything. Idempotent."""


class NullSink:
    """Plays to a clock: the frames of each period are asked for in time, and heard by nobody.

    Args:
        tap: sees each block after it was "heard"; the block is reused afterwards.
    """

    def __init__(self, *, name: str = "null", tap: Callable[[Block], None] | None = None) -> None:
        self.name = name
        self.sample_rate = CLOCK_RATE
        self._tap = tap
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def start(self, fill: Fill) -> None:
        if self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(
                target=self._serve, args=(fill,), name="lofi-clock", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._stopping.set()
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        self.stop()

    def _serve(self, fill: Fill) -> None:
        block = np.zeros((round(PERIOD_SEC * self.sample_rate), CHANNELS), dtype=np.float32)
        due = time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            fill(block)
            if self._tap is not None:
                self._tap(block)
            due = max(due + PERIOD_SEC, time.monotonic() - LAG_LIMIT_SEC)
