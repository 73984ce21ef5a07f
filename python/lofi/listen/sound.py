"""A sound as the estimators take it, and how it comes out of a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lofi.errors import InvalidSource

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sound:
    """samples [channels, frames] at `rate`; full scale is 1."""

    samples: Samples
    rate: int

    @property
    def frames(self) -> int:
        """Length in samples."""
        return len(self.samples[0])

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate

    @property
    def mono(self) -> Samples:
        """The mean of the channels, [frames]."""
        return np.asarray(self.samples.mean(axis=0))


def read(path: Path) -> Sound:
    """Returns the sound in a file, its first two channels.

    Raises:
        InvalidSource: the file is missing, unreadable or empty.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(str(path), dtype="float64", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise InvalidSource(
            f"cannot read {path}: {error}", hint="Name a wav, flac, ogg or mp3 file."
        ) from error
    if len(samples) == 0:
        raise InvalidSource(f"{path} holds no sound", hint="Name a file that is not empty.")
    return Sound(np.ascontiguousarray(samples[:, :2].T), int(rate))


def spectra(
    x: Samples, size: int, hop: int, batch: int = 512
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yields (index of the first frame, magnitudes [frames, bins]) of Hann-windowed frames.

    Frames start at 0, hop, 2 hop …; the last is padded with silence.
    """
    count = max(1, -(-(len(x) - size) // hop) + 1)
    padded = np.zeros((count - 1) * hop + size)
    padded[: min(len(x), len(padded))] = x[: len(padded)]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    view = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    for first in range(0, count, batch):
        frames = view[first : first + batch] * window
        yield first, np.abs(np.fft.rfft(frames, axis=1)) * (2 / np.sum(window))


def frequencies(size: int, rate: int) -> Samples:
    """Returns the frequencies of the bins of an rfft of `size`, in Hz."""
    return np.asarray(np.fft.rfftfreq(size, 1 / rate), dtype=np.float64)


def filtered(x: Samples, rate: int, response: Response) -> Samples:
    """Returns x [n] through a zero-phase response, piece by piece with margins."""
    size, margin = 1 << 18, 1 << 14
    gain = response(frequencies(size, rate))
    step = size - 2 * margin
    padded = np.concatenate([np.zeros(margin), x, np.zeros(size)])
    out = np.empty(len(x))
    for start in range(0, len(x), step):
        piece = np.fft.irfft(np.fft.rfft(padded[start : start + size]) * gain, size)
        count = min(step, len(x) - start)
        out[start : start + count] = piece[margin : margin + count]
    return out


class Response:
    """Gain over frequency: 1 between two frequencies, falling steeply outside."""

    def __init__(self, low_hz: float, high_hz: float, order: int = 8) -> None:
        self._low, self._high, self._order = low_hz, high_hz, order

    def __call__(self, hz: Samples) -> Samples:
        """Returns the gain at each frequency."""
        hz = np.maximum(hz, 1e-3)
        power = 2 * self._order
        rise = 1 / np.sqrt(1 + np.minimum(self._low / hz, 1e3) ** power)
        return np.asarray(rise / np.sqrt(1 + np.minimum(hz / self._high, 1e3) ** power))
