"""Decoded sound between one writer and one reader, in memory taken once."""

from __future__ import annotations

from lofi.daemon.player.mixer import CHANNELS
from lofi.daemon.player.samples import Block, np


class Ring:
    """A circle of stereo frames. One thread writes, one reads, and neither ever waits.

    `written` and `taken` only grow; each is stored by one side alone, after its samples are in
    place, so the other side never sees a frame that is not there.
    """

    def __init__(self, capacity_frames: int) -> None:
        self._samples = np.zeros((capacity_frames, CHANNELS), dtype=np.float32)
        self.capacity = capacity_frames
        self.written = 0
        self.taken = 0

    @property
    def available(self) -> int:
        """Frames that may be read."""
        return self.written - self.taken

    @property
    def room(self) -> int:
        """Frames that may be written."""
        return self.capacity - self.available

    def write(self, block: Block) -> None:
        """Appends `block`, which must fit into `room`."""
        start = self.written % self.capacity
        head = min(len(block), self.capacity - start)
        self._samples[start : start + head] = block[:head]
        self._samples[: len(block) - head] = block[head:]
        self.written += len(block)

    def read(self, out: Block) -> int:
        """Fills `out` from its start with what is there; returns how many frames that were."""
        frames = min(len(out), self.available)
        start = self.taken % self.capacity
        head = min(frames, self.capacity - start)
        out[:head] = self._samples[start : start + head]
        out[head:frames] = self._samples[: frames - head]
        self.taken += frames
        return frames
