"""Sound that goes in: files to 48 kHz stereo, and reference clips for the timbre."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr
import torch
from torch import Tensor

from lofi.backends.ace_step_15.config import HOP, REFERENCE_SEC, SAMPLE_RATE
from lofi.backends.ace_step_15.request import Audio
from lofi.errors import InvalidSource
from lofi.worker.backend import Check
from lofi.worker.reading import open_sound, to_channels

SILENT_PEAK = 1e-6
_CLIPS = 3


def read_audio(path: Path, check: Check) -> Audio:
    """Reads any sound file as 48 kHz stereo, [frames, 2] within -1..1; further channels are mixed.

    Raises:
        InvalidSource: unreadable, shorter than half a second or longer than ten minutes.
    """
    sound = open_sound(path)
    stream = soxr.ResampleStream(sound.sample_rate, SAMPLE_RATE, 2, dtype="float32")
    parts = []
    for block in sound.blocks():
        check()
        parts.append(stream.resample_chunk(np.ascontiguousarray(to_channels(block, 2))))
    parts.append(stream.resample_chunk(np.zeros((0, 2), np.float32), last=True))
    return np.clip(np.concatenate(parts), -1.0, 1.0)


def is_silent(audio: Audio) -> bool:
    """Whether there is nothing to hear."""
    return bool(np.abs(audio).max(initial=0.0) < SILENT_PEAK)


def reference_clip(audio: Audio, generator: torch.Generator) -> Audio:
    """30 s of `audio`: ten seconds from a random place in each of its thirds.

    Raises:
        InvalidSource: it is silent.
    """
    if is_silent(audio):
        raise InvalidSource("The reference is silent", hint="Give one with music in it.")
    wanted = REFERENCE_SEC * SAMPLE_RATE
    if len(audio) < wanted:
        audio = np.tile(audio, (-(-wanted // len(audio)), 1))
    third, clip = len(audio) // _CLIPS, wanted // _CLIPS
    clips = []
    for i in range(_CLIPS):
        slack = max(1, third - clip + 1)
        start = i * third + int(torch.randint(slack, (1,), generator=generator))
        clips.append(audio[start : start + clip])
    return np.concatenate(clips)


def padded(audio: Audio, left: int, right: int) -> Audio:
    """`audio` with silence before and behind."""
    return np.pad(audio, ((left, right), (0, 0)))


def whole_frames(audio: Audio) -> Tensor:
    """audio [samples, 2] -> [1, samples', 2], silence added until the last frame is full."""
    filled = padded(audio, 0, -len(audio) % HOP)
    return torch.from_numpy(np.ascontiguousarray(filled))[None]
