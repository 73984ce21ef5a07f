"""Arithmetic of sound: gains, ramps and curves over blocks of float32 [frames, 2].

It keeps no thread, device or file. Ramps are linear per frame and work in place, so that the
device callback allocates nothing that grows with the music.
"""

from __future__ import annotations

import math
from functools import cache

from lofi.daemon.player.samples import Block, np

CHANNELS = 2
BLOCK_LIMIT_FRAMES = 8192
"""Longer requests are served in pieces, so that scratch memory has one size."""


@cache
def _count() -> Block:
    """1, 2, 3 …, once for all ramps."""
    return np.arange(1, BLOCK_LIMIT_FRAMES + 1, dtype=np.float32)


def volume_gain(level: float) -> float:
    """Returns the linear gain of a volume level 0..1: square law, so that halves sound like it."""
    return level * level


def from_db(decibels: float) -> float:
    """Returns the linear gain of `decibels`."""
    return float(10.0 ** (decibels / 20.0))


def equal_power(progress: float) -> tuple[float, float]:
    """Returns the gains (leaving, coming) at `progress` 0..1 of a crossfade of unlike sounds."""
    angle = min(max(progress, 0.0), 1.0) * math.pi / 2
    return math.cos(angle), math.sin(angle)


def to_stereo(samples: Block) -> Block:
    """Returns [frames, 2]: mono goes to both sides at equal level, of more channels the first
    two (front left and right) are kept."""
    if samples.shape[1] == CHANNELS:
        return samples
    if samples.shape[1] == 1:
        return np.repeat(samples, CHANNELS, axis=1)
    return np.ascontiguousarray(samples[:, :CHANNELS])


def limit(block: Block) -> None:
    """Keeps `block` within full scale, in place."""
    np.clip(block, -1.0, 1.0, out=block)


class Ramp:
    """A gain that moves to its target in a straight line, frame by frame."""

    def __init__(self, value: float) -> None:
        self.value = value
        """The gain after the last frame that was applied."""
        self.target = value
        self.left = 0
        """Frames until the target is reached."""

    def aim(self, target: float, frames: int) -> None:
        """Starts a straight line to `target`, reached with the `frames`-th frame from now on."""
        self.target = target
        self.left = frames
        if frames <= 0:
            self.value = target

    def apply(self, block: Block) -> None:
        """Multiplies `block` (at most `BLOCK_LIMIT_FRAMES`) by the gain and moves on, in place."""
        ramped = min(self.left, len(block))
        if ramped > 0:
            slope = (self.target - self.value) / self.left
            gains = _count()[:ramped, None] * np.float32(slope) + np.float32(self.value)
            if ramped == self.left:
                gains[-1] = self.target
            block[:ramped] *= gains
            self.left -= ramped
            self.value = float(gains[-1, 0])
        rest = block[ramped:]
        if self.value == 0.0:
            rest.fill(0.0)
        elif self.value != 1.0:
            rest *= np.float32(self.value)
