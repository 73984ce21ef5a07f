"""The spool: a job's samples as raw interleaved float32, heard by the player while it grows."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAMPLE_BYTES = 4


class Spool:
    """A file of float32 frames, appended to by the job, then read again block by block."""

    def __init__(self, path: Path, channels: int) -> None:
        self.path = path
        self.channels = channels
        self.frames = 0
        self.peak = 0.0
        """Highest amplitude so far."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
        # Unbuffered: what is written is there for the player at once.
        self._file = os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)

    def append(self, samples: NDArray[np.float32]) -> None:
        """Writes frames [frames, channels] to the end."""
        data = memoryview(np.ascontiguousarray(samples, "<f4").tobytes())
        while data:
            data = data[self._file.write(data) :]
        self.frames += len(samples)
        self.peak = max(self.peak, float(np.abs(samples).max(initial=0.0)))

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Returns frames start..stop as a new array [frames, channels], zeros past the end."""
        block = np.zeros((stop - start, self.channels), "<f4")
        there = max(0, min(stop, self.frames) - start)
        if there:
            view = memoryview(block[:there].reshape(-1).view(np.uint8).data)
            self._file.seek(start * self.channels * SAMPLE_BYTES)
            while view:
                count = self._file.readinto(view)
                if not count:
                    raise OSError(f"{self.path} is shorter than what was written to it")
                view = view[count:]
        return block.astype(np.float32, copy=False)

    def close(self) -> None:
        """Closes the file; the daemon, whose player may still read it, deletes it."""
        self._file.close()
