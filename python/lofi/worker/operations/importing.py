"""Taking a person's own file in, and hashing files."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lofi.errors import InvalidSource
from lofi.worker.backend import Answer, Check, Event, Phase, Step
from lofi.worker.encoding import HASH_BLOCK_BYTES, Encoder, sha256, sync
from lofi.worker.loudness import LoudnessMeter, TruePeakMeter, decibels
from lofi.worker.reading import SoundFile, open_sound, to_channels, unreadable

KEPT_KINDS = frozenset({"wav", "flac", "ogg", "mp3"})
"""Copied as they are; anything else is written as 16-bit WAV."""
MAX_CHANNELS = 2


def hash_file(params: Mapping[str, Any], check: Check) -> Iterator[Event]:
    """Answers `sha256` and `bytes` of the file `path`.

    Raises:
        InvalidSource: the file cannot be read.
    """
    path = Path(params["path"])
    try:
        yield Answer({"sha256": sha256(path, check), "bytes": path.stat().st_size})
    except OSError as error:
        raise unreadable(path, error.strerror or str(error)) from error


def import_file(params: Mapping[str, Any], check: Check) -> Iterator[Event]:
    """Checks the sound file `path` and answers its facts.

    With `file_path` a private copy is written there: the same bytes where every part of the
    program can read them, else a 16-bit WAV. Answers `content_sha256` of the given file, and of
    the file to be kept: `format`, `frames`, `duration_sec`, `sample_rate`, `channels`, `bytes`,
    `audio_sha256`, `peak_db`, `true_peak_db`, `lufs`.

    Raises:
        InvalidSource: it is missing, no sound, or not between half a second and ten minutes.
    """
    sound = open_sound(Path(params["path"]))
    target = Path(params["file_path"]) if params.get("file_path") else None
    yield Phase("writing", -(-sound.frames // sound.sample_rate))
    content = sha256(sound.path, check)
    is_kept = target is None or (
        sound.kind in KEPT_KINDS and sound.is_native and sound.channels <= MAX_CHANNELS
    )
    try:
        if is_kept:
            facts = yield from _measured(sound, check)
            if target is not None:
                _copy(sound.path, target, check)
        else:
            assert target is not None
            facts = yield from _converted(sound, target, check)
    except BaseException:
        if target is not None:
            target.unlink(missing_ok=True)
        raise
    kept = sound.path if target is None else target
    yield Answer(
        {
            **facts,
            "content_sha256": content,
            "audio_sha256": content if is_kept else sha256(kept, check),
            "bytes": kept.stat().st_size,
            "format": sound.kind if is_kept else "wav",
        }
    )


def _measured(sound: SoundFile, check: Check) -> Generator[Event, None, dict[str, Any]]:
    meters = _Meters(sound.sample_rate, sound.channels)
    for block in sound.blocks():
        check()
        meters.feed(block)
        yield Step(meters.frames // sound.sample_rate, -(-sound.frames // sound.sample_rate))
    return meters.facts(sound)


def _converted(
    sound: SoundFile, target: Path, check: Check
) -> Generator[Event, None, dict[str, Any]]:
    channels = min(sound.channels, MAX_CHANNELS)
    meters = _Meters(sound.sample_rate, channels)
    with Encoder(target, "wav", sound.sample_rate, channels) as encoder:
        for block in sound.blocks():
            check()
            mixed = np.clip(to_channels(block, channels), -1.0, 1.0)
            meters.feed(mixed)
            encoder.write(mixed)
            yield Step(meters.frames // sound.sample_rate, -(-sound.frames // sound.sample_rate))
    return meters.facts(sound)


class _Meters:
    def __init__(self, sample_rate: int, channels: int) -> None:
        self.frames = 0
        self._channels = channels
        self._peak = 0.0
        self._loudness = LoudnessMeter(sample_rate, channels)
        self._true_peak = TruePeakMeter(channels)

    def feed(self, block: Any) -> None:
        self.frames += len(block)
        self._peak = max(self._peak, float(np.abs(block).max(initial=0.0)))
        self._loudness.feed(block)
        self._true_peak.feed(block)

    def facts(self, sound: SoundFile) -> dict[str, Any]:
        if self.frames == 0:
            raise InvalidSource(f"{sound.path} holds no sound", hint="Check the file.")
        return {
            "frames": self.frames,
            "duration_sec": round(self.frames / sound.sample_rate, 6),
            "sample_rate": sound.sample_rate,
            "channels": self._channels,
            "peak_db": decibels(self._peak),
            "true_peak_db": decibels(self._true_peak.finish()),
            "lufs": self._loudness.integrated(),
        }


def _copy(source: Path, target: Path, check: Check) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with source.open("rb") as original, os.fdopen(descriptor, "wb") as copy:
        while block := original.read(HASH_BLOCK_BYTES):
            check()
            copy.write(block)
    sync(target)
