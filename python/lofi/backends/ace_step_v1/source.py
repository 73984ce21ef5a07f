"""The sound a task works on, read from any file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from lofi.errors import InvalidSource
from lofi.worker.backend import Check

MIN_SEC, MAX_SEC = 0.5, 600.0
BLOCK_FRAMES = 1 << 18


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
    """Reads a sound file as stereo; further channels than two are left out.

    Raises:
        InvalidSource: there is none, or it is unreadable, too short or too long.
    """
    if path is None:
        raise InvalidSource("This task needs a source", hint="Give source as a track or a file.")
    blocks = []
    try:
        with soundfile.SoundFile(path) as file:
            rate, seconds = int(file.samplerate), file.frames / file.samplerate
            if not MIN_SEC <= seconds <= MAX_SEC + 1:
                raise InvalidSource(
                    f"{path} is {seconds:.1f} s long",
                    hint=f"Sources are {MIN_SEC:g} to {MAX_SEC:g} s.",
                )
            while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                check()
                blocks.append(block[:, :2])
    except (soundfile.LibsndfileError, OSError, RuntimeError) as error:
        raise InvalidSource(
            f"{path} cannot be read: {error}",
            hint="Give a sound file: wav, flac, ogg, mp3 or another that libsndfile reads.",
        ) from error
    samples = np.concatenate(blocks).T
    if not np.isfinite(samples).all():
        raise InvalidSource(f"{path} holds samples that are no numbers")
    stereo = np.broadcast_to(samples, (2, samples.shape[1]))
    return Source(torch.from_numpy(np.ascontiguousarray(stereo)), rate)
