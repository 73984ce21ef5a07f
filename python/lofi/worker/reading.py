"""Reading sound files: whatever libsndfile or miniaudio can decode, checked, in blocks or whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.errors import InvalidSource
from lofi.worker.encoding import native_name

MIN_SEC = 0.5
MAX_SEC = 600.0
BLOCK_FRAMES = 48000
FRAMES_SLACK = 2 * 1152
"""A decoder may find a few MP3 frames less than a file says it has: padding."""


@dataclass(frozen=True, slots=True)
class SoundFile:
    """A file that can be read, and what its header says."""

    path: Path
    sample_rate: int
    channels: int
    frames: int
    kind: str
    """`wav`, `flac`, `ogg`, `mp3` or libsndfile's other names in lower case."""
    is_native: bool = True
    """libsndfile reads it; otherwise miniaudio does."""

    @property
    def duration_sec(self) -> float:
        return self.frames / self.sample_rate

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yields all frames, float32 [frames, channels], in blocks of at most a second or so.

        Raises:
            InvalidSource: the file breaks off, or holds samples that are no numbers.
        """
        count = 0
        for block in self._native() if self.is_native else self._decoded():
            count += len(block)
            if not np.isfinite(block).all():
                raise InvalidSource(
                    f"{self.path} holds samples that are no numbers",
                    hint="Write the file again with the program that made it.",
                )
            yield block
        if count < self.frames - FRAMES_SLACK:
            raise unreadable(self.path, f"it breaks off after {count} of {self.frames} frames")

    def _native(self) -> Iterator[NDArray[np.float32]]:
        import soundfile

        try:
            with soundfile.SoundFile(native_name(self.path)) as file:
                while len(block := file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)):
                    yield block
        except (OSError, RuntimeError) as error:
            raise unreadable(self.path, str(error)) from error

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        import miniaudio

        try:
            stream = miniaudio.stream_file(
                str(self.path),
                miniaudio.SampleFormat.FLOAT32,
                self.channels,
                self.sample_rate,
                BLOCK_FRAMES,
            )
            for block in stream:
                yield np.frombuffer(block, np.float32).reshape(-1, self.channels)
        except (OSError, miniaudio.MiniaudioError) as error:
            raise unreadable(self.path, str(error)) from error


def open_sound(path: Path) -> SoundFile:
    """Returns the sound of a file.

    Raises:
        InvalidSource: it is missing, no sound, or not between half a second and ten minutes.
    """
    if not path.is_file():
        raise InvalidSource(
            f"There is no file {path}", hint="Check the path.", param="path", path=str(path)
        )
    sound = _open_native(path) or _open_decoded(path)
    if sound is None:
        raise unreadable(path, "its format is not known")
    # a long MP3 of our own may say it is longer than it is
    longest = MAX_SEC * sound.sample_rate + FRAMES_SLACK
    if sound.duration_sec < MIN_SEC or sound.frames > longest:
        raise InvalidSource(
            f"{path} lasts {sound.duration_sec:.2f} s",
            hint=f"Use a sound of {MIN_SEC:g}..{MAX_SEC:g} s.",
            param="path",
            min=MIN_SEC,
            max=MAX_SEC,
        )
    return sound


def read_sound(path: Path, sample_rate: int, channels: int) -> NDArray[np.float32]:
    """Returns a whole file as float32 [frames, channels] at a rate, for a model to work on.

    Mono becomes equal channels; more channels than two are mixed down first.

    Raises:
        InvalidSource: see `open_sound`.
    """
    sound = open_sound(path)
    samples = np.concatenate(list(sound.blocks()))
    samples = to_channels(samples, channels)
    if sound.sample_rate != sample_rate:
        import soxr

        samples = soxr.resample(samples, sound.sample_rate, sample_rate, quality="VHQ")
    whole: NDArray[np.float32] = np.ascontiguousarray(samples, np.float32)
    return whole


def to_channels(samples: NDArray[np.float32], channels: int) -> NDArray[np.float32]:
    """Returns samples [frames, any] as [frames, channels], 1 or 2."""
    have = samples.shape[1]
    if have == channels:
        return samples
    if have > channels == 2:  # surround: front left and right, and the rest in the middle
        rest: NDArray[np.float32] = samples[:, 2:].mean(axis=1, keepdims=True, dtype=np.float32)
        return (samples[:, :2] + rest) / np.float32(2)
    mono: NDArray[np.float32] = samples.mean(axis=1, keepdims=True, dtype=np.float32)
    return np.repeat(mono, channels, axis=1)


def unreadable(path: Path, why: str) -> InvalidSource:
    """Returns the error for a file that no reader understands."""
    return InvalidSource(
        f"Cannot read {path}: {why}",
        hint="Use a WAV, FLAC, Ogg or MP3 file.",
        param="path",
        path=str(path),
    )


def _open_native(path: Path) -> SoundFile | None:
    import soundfile

    try:
        facts: Any = soundfile.info(native_name(path))
    except (OSError, RuntimeError):
        return None
    return SoundFile(path, facts.samplerate, facts.channels, facts.frames, facts.format.lower())


def _open_decoded(path: Path) -> SoundFile | None:
    import miniaudio

    try:
        facts: Any = miniaudio.get_file_info(str(path))
    except (OSError, miniaudio.MiniaudioError):
        return None
    return SoundFile(
        path,
        facts.sample_rate,
        facts.nchannels,
        facts.num_frames,
        facts.file_format.name.lower(),
        is_native=False,
    )
