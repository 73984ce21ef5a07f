"""The worker's two pipes: frames in on the old stdin, frames out on the old stdout.

`Channel.take` must come before any other import can print: it keeps the real descriptors to
itself and leaves stderr and nothing in their place, so no library can write into the frames.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections import deque

from lofi.wire.frames import Cancel, FrameError, FrameReader, Message, pack

logger = logging.getLogger(__name__)

GRACE_SEC = 0.3
"""From the end of stdin to the hard exit; a job that calls `check` is gone long before."""
READ_BYTES = 64 * 1024


class Channel:
    """Frames to and from the daemon, safe to use from any thread.

    A reader thread takes frames as they come, so a `Cancel` is seen while a job runs. The end of
    stdin ends the process within a second, whatever the main thread is doing.
    """

    def __init__(self, inbox: int, outbox: int) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._sending = threading.Lock()
        self._changed = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._running = ""
        self._cancelled: set[str] = set()
        self._is_closed = False
        threading.Thread(target=self._read, name="frames", daemon=True).start()

    @classmethod
    def take(cls) -> Channel:
        """Returns the channel on the process's stdin and stdout, which are replaced."""
        inbox, outbox = os.dup(0), os.dup(1)
        os.dup2(2, 1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        if sys.platform == "win32":
            import msvcrt

            msvcrt.setmode(inbox, os.O_BINARY)
            msvcrt.setmode(outbox, os.O_BINARY)
        return cls(inbox, outbox)

    @property
    def is_closed(self) -> bool:
        """True when the daemon has gone."""
        return self._is_closed

    @property
    def is_awaited(self) -> bool:
        """True when a message waits, or none will come any more."""
        return bool(self._waiting) or self._is_closed

    def send(self, message: Message) -> None:
        """Writes one frame. Without a reader the process has no purpose and ends."""
        frame = memoryview(pack(message))
        with self._sending:
            try:
                while frame:
                    frame = frame[os.write(self._outbox, frame) :]
            except OSError as error:
                logger.info("the daemon reads no more (%s), ending", error)
                os._exit(0)

    def take_message(self) -> Message | None:
        """Waits for the next message to work on; None when there will be no more.

        Its job is the running one until `end_job`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return None
            message = self._waiting.popleft()
            self._running = _job_id(message)
            return message

    def end_job(self) -> None:
        """Closes the running job: a cancel that comes now is too late. Before its last message."""
        with self._changed:
            self._cancelled.discard(self._running)
            self._running = ""

    def is_cancelled(self) -> bool:
        """True when nobody wants the running job any more."""
        # Read without the lock: it is called thousands of times a second.
        return self._is_closed or self._running in self._cancelled

    def _read(self) -> None:
        reader = FrameReader()
        try:
            while chunk := os.read(self._inbox, READ_BYTES):
                for message in reader.feed(chunk):
                    self._accept(message)
        except (OSError, FrameError) as error:
            logger.error("the daemon's frames cannot be read: %s", error)
        if not self._running and not self._waiting:
            os._exit(0)  # nothing to tidy away, whatever is being imported
        # A clock in C: a long native call may keep every Python thread from running. The log
        # then shows where it was.
        faulthandler.dump_traceback_later(GRACE_SEC, exit=True, file=2)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _accept(self, message: Message) -> None:
        with self._changed:
            if not isinstance(message, Cancel):
                self._waiting.append(message)
                self._changed.notify_all()
                return
            known = {self._running, *(_job_id(waiting) for waiting in self._waiting)}
            # A cancel that crossed its job's end must not hit a later job of the same id.
            if message.job_id in known:
                self._cancelled.add(message.job_id)


def _job_id(message: Message) -> str:
    return str(getattr(message, "job_id", ""))
