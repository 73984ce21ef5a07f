"""The running job's pulse: it beats the heart and knows when to stop."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from lofi.errors import GenerationCancelled
from lofi.wire.frames import Beat
from lofi.worker.channel import Channel
from lofi.worker.process import device_bytes, memory_bytes

BEAT_SEC = 0.8
"""A beat each second is promised; a busy machine may be late by a fifth."""


class Pulse:
    """Beats from `check` and, inside a long native call, from a thread of its own."""

    def __init__(self, channel: Channel, job_id: str) -> None:
        self._channel = channel
        self._job_id = job_id
        self._last_beat = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_alone, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Joined, so that no beat of this job follows its last message.
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Beats when a beat is due.

        Raises:
            GenerationCancelled: nobody wants the job any more.
        """
        if self._channel.is_cancelled():
            raise GenerationCancelled("The job was cancelled")
        if time.monotonic() - self._last_beat >= BEAT_SEC:
            self._beat()

    def _beat(self) -> None:
        self._last_beat = time.monotonic()
        self._channel.send(Beat(self._job_id, memory_bytes() + device_bytes()))

    def _beat_alone(self) -> None:
        while not self._over.wait(max(0.05, BEAT_SEC - (time.monotonic() - self._last_beat))):
            if time.monotonic() - self._last_beat >= BEAT_SEC:
                self._beat()
