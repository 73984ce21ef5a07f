"""Seconds, samples and frames: the published rules, and where a window lies in a source."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lofi.backends.ace_step_15.config import FRAME_RATE, HOP, MIN_FRAMES, SAMPLE_RATE


def published_samples(duration_sec: float) -> int:
    """Samples as the published code counts them: tenths of a second, then cut down."""
    return int(max(0.1, round(duration_sec, 1)) * SAMPLE_RATE)


def published_frames(duration_sec: float) -> int:
    """Latent frames of `published_samples`, before the minimum."""
    return published_samples(duration_sec) // HOP


def exact_samples(duration_sec: float) -> int:
    """Samples of the finished track."""
    return round(duration_sec * SAMPLE_RATE)


def frames_for(duration_sec: float) -> int:
    """Latent frames that hold `duration_sec`."""
    return math.ceil(round(duration_sec * FRAME_RATE, 6))


def padded_frames(frames: int) -> int:
    """At least what the model was trained on; the surplus is trimmed afterwards."""
    return max(MIN_FRAMES, frames)


def frame_at(seconds: float) -> int:
    """The latent frame in which `seconds` falls."""
    return int(seconds * SAMPLE_RATE // HOP)


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a source, which may have been padded to hold it.

    `left_samples` of silence go before the source and `right_samples` behind it; `start_sec` and
    `end_sec` count from the beginning of what results.
    """

    start_sec: float
    end_sec: float
    left_samples: int
    right_samples: int


def window_in(source_samples: int, start_sec: float, end_sec: float | None) -> Window:
    """Where start..end lies in a source; beyond its ends it is padded (outpainting).

    Args:
        end_sec: None or negative is the source's end.
    """
    source_sec = source_samples / SAMPLE_RATE
    end = source_sec if end_sec is None or end_sec < 0 else end_sec
    left_sec = max(0.0, -start_sec)
    right_sec = max(0.0, end - source_sec)
    return Window(
        start_sec + left_sec,
        end + left_sec,
        int(left_sec * SAMPLE_RATE),
        int(right_sec * SAMPLE_RATE),
    )


def window_frames(window: Window, frames: int) -> tuple[int, int]:
    """The window in latent frames, at least one of them."""
    start = min(max(0, frame_at(window.start_sec)), frames - 1)
    return start, min(max(start + 1, frame_at(window.end_sec)), frames)
