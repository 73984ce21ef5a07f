"""Where samples come from: a finished file, or the spool of a track that is still rendered.

A source gives the track's own frames at the track's own rate; rate and channels of the device are
`stream.py`'s business. Sources are used by one thread.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import IO, Any, Protocol

from lofi.daemon.player.mixer import Ramp
from lofi.daemon.player.samples import Block, np
from lofi.errors import AudioPlaybackError

logger = logging.getLogger(__name__)

BLEND_SEC = 0.01
"""Spool and file carry the same audio; a lossy file differs a little, so they are blended."""
GLIDE_SEC = 2.0
"""How long a level that turned out differently takes to be reached: nobody should notice."""
LEAD_SEC = 1.0
"""A track that is being rendered is at least this far ahead of the ear when it starts."""
SAFETY = 1.25
"""Rendering may become this much slower than it was, and the ear still does not catch up."""


class Source(Protocol):
    """Frames of one track, in order."""

    sample_rate: int
    channels: int
    frames: int
    position: int
    """The next frame that `read` gives."""

    def is_ahead(self, position: int) -> bool:
        """Whether an ear at frame `position` will find all that follows there in time."""
        ...

    def read(self, limit_frames: int) -> Block:
        """Returns up to `limit_frames` frames [frames, channels]; fewer or none if they are not
        there yet. All are given when `position` is `frames`."""
        ...

    def close(self) -> None: ...


class FileSource:
    """A finished file, decoded from `start_sec` on.

    Raises:
        AudioPlaybackError: no such file, or not one that can be decoded.
    """

    def __init__(self, path: Path, start_sec: float = 0.0) -> None:
        import soundfile  # loads a shared library: not before something is played

        self._path = path
        if path.exists() and not path.is_file():  # a pipe would be waited for, and for ever
            raise _unplayable(path, "it is no regular file")
        try:
            self._file: Any = soundfile.SoundFile(path)
            self.sample_rate: int = self._file.samplerate
            self.channels: int = self._file.channels
            self.frames: int = self._file.frames
            self.position = min(round(max(start_sec, 0.0) * self.sample_rate), self.frames)
            if self.position:
                self._file.seek(self.position)
        except (OSError, RuntimeError) as error:  # soundfile's own errors are RuntimeErrors
            raise _unplayable(path, str(error)) from error
        if self.frames == 0:
            raise _unplayable(path, "it holds no sound")

    def is_ahead(self, position: int) -> bool:
        return True

    def read(self, limit_frames: int) -> Block:
        try:
            block: Block = self._file.read(limit_frames, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:
            raise _unplayable(self._path, str(error)) from error
        self.position += len(block)
        if len(block) == 0 and limit_frames > 0:
            if self.position == 0:
                raise _unplayable(self._path, "it holds no sound")
            self.frames = self.position  # the header promised more than there is
        return np.nan_to_num(block, copy=False)

    def close(self) -> None:
        self._file.close()


def _unplayable(path: Path, reason: str) -> AudioPlaybackError:
    return AudioPlaybackError(
        f"cannot play {path}: {reason}",
        hint="The file must exist and be WAV, FLAC, Ogg or MP3.",
    )


class Spool:
    """What is known of a track while it is rendered. Told by the loop, read by the decoder."""

    def __init__(
        self,
        path: Path,
        *,
        sample_rate: int,
        channels: int,
        frames: int,
        gain: float,
        announced_at: float | None = None,
    ) -> None:
        self.path = path
        self.sample_rate = sample_rate
        self.channels = channels
        self.frames = frames
        self.gain = gain
        """The provisional gain."""
        self.ready = 0
        """Frames that are final."""
        self.finished: tuple[Path, float] | None = None
        """The complete file, and the gain between the spool's samples and its own."""
        self._start = None if announced_at is None else (announced_at, 0)
        self._last = self._start
        self._longest_wait_sec = 0.0

    def progress(self, frames: int, now: float) -> None:
        """Notes that `frames` are final at `now` (monotonic seconds)."""
        if self._start is None:
            self._start = (now, frames)
        elif self._last is not None and frames > self._last[1]:
            self._longest_wait_sec = max(self._longest_wait_sec, now - self._last[0])
        self._last = (now, frames)
        self.ready = max(self.ready, frames)

    def is_ahead(self, position: int) -> bool:
        """Whether an ear at frame `position` will not catch up with the rendering."""
        if self.ready >= self.frames or self.finished is not None:
            return True
        if self._start is None or self._last is None or self._last[1] <= self._start[1]:
            return False  # one report tells no speed
        rendered = self._last[1] - self._start[1]
        spent_sec = max(self._last[0] - self._start[0], 1e-3)
        remaining_sec = (self.frames - self.ready) * spent_sec / rendered
        lead_sec = (self.ready - position) / self.sample_rate
        enough_sec = max(LEAD_SEC, SAFETY * self._longest_wait_sec + BLEND_SEC)
        left_to_hear_sec = (self.frames - position) / self.sample_rate
        return lead_sec >= enough_sec and SAFETY * remaining_sec + LEAD_SEC <= left_to_hear_sec


class SpoolSource:
    """A growing spool, and the finished file from the moment there is one.

    The change happens between two frames and is not heard: position for position both hold the
    same audio, and a level that turned out differently is reached in a glide. The spool stays
    open, so it may be deleted meanwhile.
    """

    def __init__(self, spool: Spool, start_sec: float = 0.0) -> None:
        self.sample_rate = spool.sample_rate
        self.channels = spool.channels
        self.frames = spool.frames
        self.position = min(round(max(start_sec, 0.0) * spool.sample_rate), spool.frames)
        self._spool = spool
        self._stream: IO[bytes] | None = None
        self._file: FileSource | None = None
        self._may_move = True
        self._level = Ramp(1.0)

    def is_ahead(self, position: int) -> bool:
        return self._spool.is_ahead(position)

    def read(self, limit_frames: int) -> Block:
        joint: Block | None = None
        if self._file is None and self._may_move and self._spool.finished is not None:
            joint = self._move(*self._spool.finished)
        if self._file is None:
            block = self._read_spool(limit_frames)
            block *= np.float32(self._spool.gain)
        else:
            block = self._file.read(limit_frames)
            self._level.apply(block)
            if joint is not None:
                _blend(joint, block)
            if len(block) == 0:
                self.frames = self.position
        self.position += len(block)
        return block

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._file is not None:
            self._file.close()

    def _read_spool(self, limit_frames: int) -> Block:
        count = min(limit_frames, self._spool.ready - self.position) * self.channels
        if count <= 0:
            return np.zeros((0, self.channels), dtype=np.float32)
        if self._stream is None:
            self._stream = self._spool.path.open("rb")
        self._stream.seek(self.position * self.channels * 4)
        data = self._stream.read(count * 4)
        whole = len(data) // (4 * self.channels)
        samples = np.frombuffer(data, dtype="<f4", count=whole * self.channels)
        return samples.reshape(whole, self.channels).astype(np.float32, copy=True)

    def _move(self, path: Path, gain: float) -> Block | None:
        """Opens the finished file here; returns what the spool would have gone on with, if it is
        still there."""
        self._may_move = False
        try:
            file = FileSource(path, self.position / self.sample_rate)
        except AudioPlaybackError:
            logger.exception("the finished file cannot be read; the spool plays on")
            return None
        if (file.sample_rate, file.channels) != (self.sample_rate, self.channels) or abs(
            file.frames - self.frames
        ) > self.sample_rate // 10:
            logger.warning("%s is not the track its spool began; the spool plays on", path)
            file.close()
            return None
        self._file = file
        self.frames = file.frames
        # The file is the spool times `gain`; the ear is at the provisional one.
        self._level = Ramp(self._spool.gain / gain if gain > 0 else 1.0)
        self._level.aim(1.0, round(GLIDE_SEC * self.sample_rate))
        try:
            rest = self._read_spool(round(BLEND_SEC * self.sample_rate))
        except OSError:  # never opened, and deleted already: nothing was heard of it either
            return None
        rest *= np.float32(self._spool.gain)
        return rest


def _blend(leaving: Block, coming: Block) -> None:
    """Fades linearly from `leaving` into `coming`, in place, over the shorter of the two."""
    frames = min(len(leaving), len(coming))
    if frames:
        share = np.linspace(0.0, 1.0, frames, endpoint=False, dtype=np.float32)[:, None]
        coming[:frames] += (leaving[:frames] - coming[:frames]) * (1 - share)
