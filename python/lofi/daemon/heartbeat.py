"""Says something at least once a second and at most ten times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lofi.daemon.player.playable import Clock

AT_LEAST_EACH_SEC = 0.9
AT_MOST_EACH_SEC = 0.1


class Heartbeat:
    """Calls `say` now, after every `beat`, and whenever nothing was said for nearly a second.

    Beats that come too fast are put together; the last one is never lost.
    """

    def __init__(self, say: Callable[[], None], clock: Clock) -> None:
        self._say = say
        self._clock = clock
        self._said_at = -AT_MOST_EACH_SEC
        self._timer: asyncio.TimerHandle | None = None
        self._is_running = False

    def start(self, *, has_said: bool = False) -> None:
        """Counts from now; says nothing yet, but may be told that the caller just has."""
        self._is_running = True
        if has_said:
            self._said_at = self._clock.monotonic()
        self._arm(AT_LEAST_EACH_SEC)

    def beat(self) -> None:
        """Something changed."""
        if self._is_running:
            self._arm(self._said_at + AT_MOST_EACH_SEC - self._clock.monotonic())

    def beat_now(self) -> None:
        """Something changed that is never put together with what comes after it."""
        self._speak()

    def stop(self) -> None:
        """Says nothing any more."""
        self._is_running = False
        if self._timer is not None:
            self._timer.cancel()

    def _speak(self) -> None:
        if not self._is_running:
            return
        # What came early takes the next turn's place: no more are said in all.
        self._said_at = max(self._clock.monotonic(), self._said_at + AT_MOST_EACH_SEC)
        self._say()
        self._arm(AT_LEAST_EACH_SEC)

    def _arm(self, delay_sec: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0.0, delay_sec), self._speak)
