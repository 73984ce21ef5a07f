"""Sound files: which formats there are, and writing one in small blocks, private and durable."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.errors import CacheWriteError, InsufficientDisk, LofiError, UnsupportedFormat
from lofi.worker.id3 import id3_tag

HASH_BLOCK_BYTES = 1024 * 1024
FULL_BYTES = 4 * 1024 * 1024
"""With less than this left, a failed write means a full disk."""
MP3_LOWEST_KBPS, MP3_HIGHEST_KBPS = 32, 320
MP3_LOWEST_RATE = 32000
"""Below it MPEG-2 rules with another table of bit rates."""


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file, in the words of libsndfile."""

    name: str
    extension: str
    major: str
    subtype: str
    is_integer: bool
    """Stores 16-bit steps: nothing beyond full scale survives."""


FORMATS = {
    format.name: format
    for format in (
        Format("wav", "wav", "WAV", "PCM_16", True),
        Format("wav32", "wav", "WAV", "FLOAT", False),
        Format("flac", "flac", "FLAC", "PCM_16", True),
        Format("ogg", "ogg", "OGG", "VORBIS", False),
        Format("mp3", "mp3", "MP3", "MPEG_LAYER_III", False),
    )
}


def format_named(name: str) -> Format:
    """Returns the format of that name.

    Raises:
        UnsupportedFormat: there is none, or this libsndfile cannot write it.
    """
    import soundfile

    found = FORMATS.get(name)
    if found is not None and found.subtype in soundfile.available_subtypes(found.major):
        return found
    known = ", ".join(FORMATS)
    raise UnsupportedFormat(
        f"Cannot write the format {name!r}", hint=f"Use one of: {known}.", param="format"
    )


class Encoder:
    """Writes one file, 0600, in blocks of at most a second; synced to the disk when it closes.

    One long Vorbis write overflows libsndfile's stack from about a minute on; small ones do not.
    """

    def __init__(
        self,
        path: Path,
        format_name: str,
        sample_rate: int,
        channels: int,
        *,
        bitrate_kbps: int = 192,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        import soundfile

        self.path = path
        kind = format_named(format_name)
        options: dict[str, Any] = {}
        if kind.major == "MP3":
            options = _mp3_options(bitrate_kbps)
        self._block_frames = sample_rate
        self._tag = id3_tag(tags or {}) if kind.major == "MP3" else b""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        try:
            self._file = soundfile.SoundFile(
                native_name(path),
                "w",
                sample_rate,
                channels,
                kind.subtype,
                format=kind.major,
                **options,
            )
        except soundfile.LibsndfileError as error:
            if path.is_file():  # never a device that someone named
                path.unlink()
            raise UnsupportedFormat(
                f"Cannot write {sample_rate} Hz as {format_name}: {error}", param="format"
            ) from error
        for name, text in (tags or {}).items():
            if text and not self._tag:  # libsndfile refuses an empty one
                setattr(self._file, name, text)

    def write(self, block: NDArray[np.float32]) -> None:
        """Appends float32 [frames, channels] in −1..1.

        Raises:
            InsufficientDisk, CacheWriteError: the file takes no more.
        """
        import soundfile

        for start in range(0, len(block), self._block_frames):
            try:
                self._file.write(block[start : start + self._block_frames])
            except soundfile.LibsndfileError as error:
                raise self._refused(error) from error

    def _refused(self, error: Exception) -> LofiError:
        """Libsndfile says no more than "System error"; the disk says whether it is full."""
        free = shutil.disk_usage(self.path.parent).free
        if free < FULL_BYTES:
            return InsufficientDisk(
                f"The disk of {self.path} is full", free_bytes=free, path=str(self.path)
            )
        return CacheWriteError(f"Cannot write {self.path}: {error}", path=str(self.path))

    def __enter__(self) -> Encoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        if error is None:
            if self._tag:
                _put_before(self._tag, self.path)
            sync(self.path)


def native_name(path: Path) -> Path | bytes:
    """Returns the name as libsndfile takes it: on POSIX any bytes are a name, also broken UTF-8."""
    return os.fsencode(path) if os.name == "posix" else path


def sync(path: Path) -> None:
    """Waits until the file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path, check: Any = None) -> str:
    """Returns the SHA-256 of a file in hex; calls `check` at each mebibyte."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(HASH_BLOCK_BYTES):
            digest.update(block)
            if check is not None:
                check()
    return digest.hexdigest()


def _put_before(head: bytes, path: Path) -> None:
    """Writes `head` in front of a file, from its end on, so that nothing is held twice."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        for start in range(size - size % HASH_BLOCK_BYTES, -1, -HASH_BLOCK_BYTES):
            file.seek(start)
            block = file.read(min(HASH_BLOCK_BYTES, size - start))
            file.seek(start + len(head))
            file.write(block)
        file.seek(0)
        file.write(head)


def _mp3_options(bitrate_kbps: int) -> dict[str, Any]:
    # libsndfile counts compression from the best bit rate (0) to the lowest (1).
    span = MP3_HIGHEST_KBPS - MP3_LOWEST_KBPS
    level = min(max((MP3_HIGHEST_KBPS - bitrate_kbps) / span, 0.0), 1.0)
    return {"bitrate_mode": "CONSTANT", "compression_level": level}
