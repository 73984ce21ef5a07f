"""The recording sink: writes what would be heard to a WAV file, in real time, for tests."""

from __future__ import annotations

import struct
from pathlib import Path

from lofi.daemon.player.mixer import CHANNELS
from lofi.daemon.player.samples import Block
from lofi.daemon.player.sink import CLOCK_RATE, Fill, NullSink
from lofi.errors import AudioDeviceError

_FLOAT_FORMAT = 3
_FRAME_BYTES = 4 * CHANNELS
_SIZE_LIMIT = 0xFFFFFFFF
_HEADER = struct.Struct("<4sI4s 4sIHHIIHHH 4sII 4sI")


class RecordingSink:
    """A clock that keeps what it plays: 32-bit float, so sample for sample what the desk gave.

    The header is brought up to date with each block: the file is whole at any moment, also after
    the process was killed. While nothing is played nothing is written.

    Raises:
        AudioDeviceError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file:{path}"
        self.sample_rate = CLOCK_RATE
        self._bytes = 0
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise AudioDeviceError(
                f"cannot record to {path}: {error.strerror}",
                hint="Name a writable file in audio.output = file:PATH.",
            ) from error
        self._file.write(_header(self.sample_rate, 0))
        self._clock = NullSink(tap=self._write)

    def start(self, fill: Fill) -> None:
        self._clock.start(fill)

    def stop(self) -> None:
        self._clock.stop()

    def close(self) -> None:
        self._clock.close()
        self._file.close()

    def _write(self, block: Block) -> None:
        data = block.data.cast("B")
        self._file.write(data)
        self._bytes += len(data)
        self._file.seek(0)
        self._file.write(_header(self.sample_rate, self._bytes))
        self._file.seek(0, 2)


def _header(sample_rate: int, data_bytes: int) -> bytes:
    """Returns the 58 bytes before the samples; sizes past 4 GiB stay at the most it can say."""
    return _HEADER.pack(
        b"RIFF",
        min(data_bytes + _HEADER.size - 8, _SIZE_LIMIT),
        b"WAVE",
        b"fmt ",
        18,
        _FLOAT_FORMAT,
        CHANNELS,
        sample_rate,
        sample_rate * _FRAME_BYTES,
        _FRAME_BYTES,
        32,
        0,
        b"fact",
        4,
        min(data_bytes // _FRAME_BYTES, _SIZE_LIMIT),
        b"data",
        min(data_bytes, _SIZE_LIMIT),
    )
