"""Lengths of one job in every unit: latent frames of the canvas, samples cut and kept."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from lofi.backends.ace_step_v1.config import (
    FRAME_SAMPLES,
    NATIVE_RATE,
    OUTPUT_RATE,
    frames_covering,
)
from lofi.backends.ace_step_v1.request import Request
from lofi.backends.ace_step_v1.source import Source
from lofi.worker.backend import Stretch


class Layout:
    """Where source and new music lie, so that the track has exactly its length.

    Latent frames are 93 ms; a few more than needed are made and the rest is cut off.
    """

    def __init__(self, request: Request, source: Source | None) -> None:
        self.frames = frames_covering(request.duration_sec)
        """Latent frames of text to music and retake."""
        self.left_frames = self.right_frames = 0
        self.cut_samples = 0
        """Output samples dropped at the beginning."""
        self._kept_source: int | None = None
        seconds = request.duration_sec
        if source is not None:
            seconds = source.seconds
            self.frames = frames_covering(seconds)
        if source is not None and request.task == "extend":
            self.left_frames = frames_covering(request.left_sec) if request.left_sec else 0
            self.cut_samples = round(
                (self.left_frames * FRAME_SAMPLES / NATIVE_RATE - request.left_sec) * OUTPUT_RATE
            )
            if request.right_sec:
                # the new music begins where the source's last whole frame ends, without a gap
                whole = max(1, int(seconds * NATIVE_RATE / FRAME_SAMPLES))
                left_over = seconds - whole * FRAME_SAMPLES / NATIVE_RATE
                self._kept_source = round(whole * FRAME_SAMPLES / NATIVE_RATE * source.rate)
                self.frames = whole
                self.right_frames = frames_covering(max(0.0, request.right_sec + left_over))
            seconds += request.left_sec + request.right_sec
        self.samples = round(seconds * OUTPUT_RATE)
        """Of the finished track, at 48 kHz."""

    @property
    def total_frames(self) -> int:
        """Latent frames of the result."""
        return self.left_frames + self.frames + self.right_frames

    def trimmed(self, source: Source) -> tuple[Tensor, int]:
        """Returns the samples of the source to encode, and their rate."""
        return source.samples[:, : self._kept_source], source.rate


class Sender:
    """Hands out each sample of the track once, however often a decode begins anew."""

    def __init__(self, layout: Layout) -> None:
        self._skipped = layout.cut_samples
        self._wanted = layout.samples
        self._sent = 0
        self._position = 0

    @property
    def has_sent(self) -> bool:
        """Whether somebody may have heard samples of an earlier decode."""
        return self._sent > 0

    def begin(self) -> None:
        """A decode begins at its first sample."""
        self._position = -self._skipped

    def send(self, piece: Tensor) -> Iterator[Stretch]:
        """piece [2, n] is what the decode made next; yields what of it is new."""
        start, stop = self._position, self._position + piece.shape[-1]
        self._position = stop
        first, last = max(start, self._sent), min(stop, self._wanted)
        if last > first:
            new = piece[:, first - start : last - start].T
            self._sent = last
            yield Stretch(np.ascontiguousarray(new.float().cpu().numpy()))

    def fill(self) -> Iterator[Stretch]:
        """Yields silence for the samples that rounding left out at the end."""
        missing = self._wanted - self._sent
        if missing > 0:
            self._sent = self._wanted
            yield Stretch(np.zeros((missing, 2), np.float32))
