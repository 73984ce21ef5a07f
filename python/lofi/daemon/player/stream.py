"""Decoding ahead: a source at the device's rate in a ring, and the one thread that fills rings.

The reader of a ring is the device callback (`desk.py`); it shares nothing with this thread but the
ring and a few flags, and no lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from lofi.daemon.player.decode import Source
from lofi.daemon.player.mixer import CHANNELS, to_stereo
from lofi.daemon.player.ring import Ring
from lofi.daemon.player.samples import Block, np
from lofi.errors import AudioPlaybackError, LofiError

logger = logging.getLogger(__name__)

AHEAD_SEC = 3.0
"""Decoded ahead: far more than the second that a machine at full load has been seen to stall."""
START_SEC = 0.1
"""Decoded before a finished track starts, or goes on after the decoder fell behind."""
CHUNK_FRAMES = 4096
POLL_SEC = 0.05
"""How often a full ring is looked at; also how often the spool of a rendered track is."""


class Stream:
    """One track on its way to the device, from `start_sec` on.

    Args:
        open_source: opens the source, in the feeder's thread.
        sample_rate: the device's.
    """

    def __init__(self, open_source: Callable[[], Source], sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.ring = Ring(round(AHEAD_SEC * sample_rate))
        self.is_ahead = False
        """May start, or go on after a wait. Set by the feeder."""
        self.is_complete = False
        """Nothing more will be written to the ring."""
        self.error: LofiError | None = None
        self.opened: Future[None] = Future()
        """Done when the first sound is decoded, or it is clear that it has to be waited for."""
        self._open_source = open_source
        self._source: Source | None = None
        self._resampler: Any = None
        self._rest: Block = np.zeros((0, CHANNELS), dtype=np.float32)
        self._is_drained = False

    def pump(self) -> bool:
        """Decodes and writes one chunk if there is room and something to decode; True if so."""
        if self.is_complete:
            return False
        try:
            moved = self._pump()
        except LofiError as error:
            self._fail(error)
        except Exception as error:  # a decoder's bug ends the track, not the player
            logger.exception("decoding failed")
            self._fail(AudioPlaybackError(f"decoding failed: {error}"))
        else:
            return moved
        return False

    def close(self) -> None:
        """Lets go of the source; by the feeder only."""
        self.is_complete = True
        if self._source is not None:
            self._source.close()
            self._source = None

    def _pump(self) -> bool:
        if self._source is None:
            self._source = self._open_source()
            self._resampler = _resampler(self._source, self.sample_rate)
        source = self._source
        moved = False
        if len(self._rest) == 0 and not self._is_drained and self.ring.room > 0:
            block = source.read(CHUNK_FRAMES)
            self._is_drained = source.position >= source.frames
            moved = len(block) > 0 or self._is_drained
            if moved:
                self._rest = self._converted(block, last=self._is_drained)
        if len(self._rest) > 0 and self.ring.room > 0:
            fitting = min(len(self._rest), self.ring.room)
            self.ring.write(self._rest[:fitting])
            self._rest = self._rest[fitting:]
            moved = True
        if self._is_drained and len(self._rest) == 0:
            self.is_ahead = True
            self.is_complete = True
        else:
            decoded_sec = (self.ring.available + len(self._rest)) / self.sample_rate
            ear = source.position - round(decoded_sec * source.sample_rate)
            self.is_ahead = decoded_sec >= START_SEC and source.is_ahead(ear)
        if not self.opened.done() and (self.is_ahead or self.is_complete or not moved):
            self.opened.set_result(None)
        return moved

    def _converted(self, block: Block, *, last: bool) -> Block:
        stereo = to_stereo(block)
        if self._resampler is None:
            return stereo
        converted: Block = self._resampler.resample_chunk(np.ascontiguousarray(stereo), last=last)
        return converted

    def _fail(self, error: LofiError) -> None:
        self.error = error
        self.is_ahead = True
        self.is_complete = True
        if not self.opened.done():
            self.opened.set_exception(error)


def _resampler(source: Source, sample_rate: int) -> Any:
    if source.sample_rate == sample_rate:
        return None
    import soxr  # as for soundfile: not before something is played

    return soxr.ResampleStream(source.sample_rate, sample_rate, CHANNELS, dtype="float32")


class Feeder:
    """The thread that keeps the rings full. It starts with the first stream and sleeps while
    there is none.

    Args:
        on_complete: called in this thread when a stream has been decoded to its end.
    """

    def __init__(self, on_complete: Callable[[Stream], None]) -> None:
        self._on_complete = on_complete
        self._streams: list[Stream] = []
        self._leaving: list[Stream] = []
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._closing = False

    def add(self, stream: Stream) -> None:
        """Starts filling `stream`; it opens its source first."""
        self._streams.append(stream)
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="lofi-feeder", daemon=True)
            self._thread.start()
        self._wake.set()

    def remove(self, stream: Stream) -> None:
        """Stops filling `stream` and closes its source soon. Removing twice is harmless."""
        self._leaving.append(stream)
        self._wake.set()

    def nudge(self) -> None:
        """Looks now rather than at the next poll: a spool grew."""
        self._wake.set()

    def close(self) -> None:
        """Ends the thread and closes every source."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _serve(self) -> None:
        while not self._closing:
            self._wake.clear()
            self._let_go()
            streams = tuple(self._streams)
            moved = False
            for stream in streams:
                if stream.is_complete:
                    continue
                moved = stream.pump() or moved
                if stream.is_complete:
                    self._on_complete(stream)
            if not moved:
                waiting = any(not stream.is_complete for stream in streams)
                self._wake.wait(POLL_SEC if waiting else None)
        self._leaving.extend(self._streams)
        self._let_go()

    def _let_go(self) -> None:
        while self._leaving:
            stream = self._leaving.pop()
            if stream in self._streams:
                self._streams.remove(stream)
            if not stream.opened.done():
                stream.opened.cancel()
            stream.close()
