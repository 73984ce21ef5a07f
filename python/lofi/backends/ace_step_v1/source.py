"""The sound a task works on, read from any file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lofi.errors import InvalidSource
from lofi.worker.backend import Check
from lofi.worker.reading import open_sound, to_channels


@dataclass(frozen=True, slots=True)
class Source:
    """Sound at its own rate."""

    samples: Tensor
    """[2, N] float32."""
    rate: int

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples.shape[-1] / self.rate


def read_source(path: Path | None, check: Check) -> Source:
    """Reads a sound file as stereo; further channels than two are mixed in.

    Raises:
        InvalidSource: there is none, or it is unreadable, too short or too long.
    """
    if path is None:
        raise InvalidSource("This task needs a source", hint="Give source as a track or a file.")
    sound = open_sound(path)
    blocks = []
    for block in sound.blocks():
        check()
        blocks.append(to_channels(block, 2))
    stereo = np.ascontiguousarray(np.concatenate(blocks).T)
    return Source(torch.from_numpy(stereo), sound.sample_rate)
