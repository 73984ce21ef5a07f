"""Mastering: from the samples a backend made to the finished file, block by block.

Level, fades and loop, the checks that keep a broken render from becoming a track, and the figures
that are stored beside it. Memory does not depend on the length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.errors import ModelInferenceFailed
from lofi.worker.backend import Check, Notice, Sound, Step
from lofi.worker.encoding import Encoder, sha256
from lofi.worker.loudness import LoudnessMeter, TruePeakMeter, decibels
from lofi.worker.spool import Spool

TARGET_PEAK = 10 ** (-1 / 20)
SILENCE_PEAK = 1e-4
LENGTH_SLACK_FRAMES = 1
LOOP_OVERLAP_SEC = 2.0
LOOP_OVERLAP_PART = 10


@dataclass(frozen=True, slots=True)
class Mastering:
    """What is done to a sound after it was made."""

    normalize: bool = False
    fade_in_sec: float = 0.0
    fade_out_sec: float = 0.0
    loopable: bool = False

    @classmethod
    def of(cls, recipe: Mapping[str, Any], sound: Sound) -> Mastering:
        """Returns what the recipe asks for; nothing when the backend did it itself."""
        if sound.mastered:
            return cls()
        return cls(
            normalize=recipe.get("normalize") == "peak",
            fade_in_sec=float(recipe.get("fade_in_sec") or 0),
            fade_out_sec=float(recipe.get("fade_out_sec") or 0),
            loopable=bool(recipe.get("loopable")),
        )

    @property
    def reshapes(self) -> bool:
        """True when finished frames still change by more than one gain."""
        return self.loopable or self.fade_in_sec > 0 or self.fade_out_sec > 0


class Master:
    """The finished sound before its gain: the spool with loop and fades applied as it is read."""

    def __init__(self, spool: Spool, sound: Sound, mastering: Mastering) -> None:
        self._spool = spool
        self._rate = sound.sample_rate
        self._overlap = 0
        if mastering.loopable:
            longest = round(LOOP_OVERLAP_SEC * self._rate)
            self._overlap = min(longest, sound.frames // LOOP_OVERLAP_PART)
        self.frames = sound.frames - self._overlap
        self._fade_in = min(round(mastering.fade_in_sec * self._rate), self.frames)
        self._fade_out = min(round(mastering.fade_out_sec * self._rate), self.frames)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """Yields all frames [frames, channels] in blocks of at most half a second."""
        size = max(1, self._rate // 2)
        for start in range(0, self.frames, size):
            yield self._block(start, min(start + size, self.frames))

    def _block(self, start: int, stop: int) -> NDArray[np.float32]:
        block = self._spool.read(start, stop)
        if start < self._overlap:
            # What follows the last frame fades into the first ones: the end meets the start.
            count = min(stop, self._overlap) - start
            angle = (np.arange(start, start + count) + 0.5) / self._overlap * (math.pi / 2)
            tail = self._spool.read(self.frames + start, self.frames + start + count)
            block[:count] *= np.sin(angle, dtype=np.float32)[:, None]
            block[:count] += tail * np.cos(angle, dtype=np.float32)[:, None]
        frame = np.arange(start, stop)
        if start < self._fade_in:
            block *= _ramp(frame, self._fade_in)[:, None]
        if stop > self.frames - self._fade_out:
            block *= _ramp(self.frames - 1 - frame, self._fade_out)[:, None]
        return block


@dataclass(frozen=True, slots=True)
class Finished:
    """The file's own figures, as they are stored beside it."""

    values: Mapping[str, Any]


def check_sound(spool: Spool, sound: Sound) -> None:
    """Refuses what must not become a track.

    Raises:
        ModelInferenceFailed: the sound has the wrong length or is silent.
    """
    if abs(spool.frames - sound.frames) > LENGTH_SLACK_FRAMES:
        raise ModelInferenceFailed(
            f"The model made {spool.frames} frames instead of {sound.frames}", stage="decoding"
        )
    if spool.peak < SILENCE_PEAK:
        raise ModelInferenceFailed(
            f"The model made silence (peak {spool.peak:.1e})", stage="decoding"
        )


def check_stretch(samples: NDArray[np.float32], sound: Sound) -> None:
    """Refuses samples that must not even be heard.

    Raises:
        ModelInferenceFailed: a sample is not a finite number, or the shape is wrong.
    """
    if samples.ndim != 2 or samples.shape[1] != sound.channels:
        raise ModelInferenceFailed(
            f"The model made samples of shape {samples.shape} for {sound.channels} channels",
            stage="decoding",
        )
    if not np.isfinite(samples).all():
        raise ModelInferenceFailed("The model made samples that are no numbers", stage="decoding")


def finish(
    spool: Spool,
    sound: Sound,
    mastering: Mastering,
    path: Path,
    *,
    format_name: str,
    bitrate_kbps: int,
    check: Check,
) -> Iterator[Step | Notice | Finished]:
    """Writes the finished file and yields steps, one a block, warnings and, last, its figures.

    Raises:
        ModelInferenceFailed: the sound is silent or has the wrong length.
        UnsupportedFormat, CacheWriteError: the file cannot be written.
    """
    check_sound(spool, sound)
    master = Master(spool, sound, mastering)
    peak = spool.peak
    if mastering.reshapes:
        peak = 0.0
        for block in master.blocks():
            check()
            peak = max(peak, float(np.abs(block).max(initial=0.0)))
    gain, notice = _gain(peak, sound, mastering)
    if notice is not None:
        yield notice
    loudness = LoudnessMeter(sound.sample_rate, sound.channels)
    true_peak = TruePeakMeter(sound.channels)
    total = -(-master.frames // max(1, sound.sample_rate // 2))
    with Encoder(
        path, format_name, sound.sample_rate, sound.channels, bitrate_kbps=bitrate_kbps
    ) as encoder:
        for done, block in enumerate(master.blocks(), 1):
            check()
            block *= np.float32(gain)
            loudness.feed(block)
            true_peak.feed(block)
            # Rounding the gain to float32 may leave a sample one step over.
            encoder.write(np.clip(block, -1.0, 1.0, out=block))
            yield Step(done, total)
    yield Finished(
        {
            "frames": master.frames,
            "duration_sec": round(master.frames / sound.sample_rate, 6),
            "sample_rate": sound.sample_rate,
            "channels": sound.channels,
            "bytes": path.stat().st_size,
            "audio_sha256": sha256(path, check),
            "format": format_name,
            "loop": mastering.loopable,
            "peak_db": _rounded(decibels(peak * gain)),
            "true_peak_db": _rounded(decibels(true_peak.finish())),
            "lufs": _rounded(loudness.integrated()),
            "gain": gain,
        }
    )


def _gain(peak: float, sound: Sound, mastering: Mastering) -> tuple[float, Notice | None]:
    if mastering.normalize and peak >= SILENCE_PEAK:
        return TARGET_PEAK / peak, None
    gain = sound.gain if sound.mastered else 1.0
    if peak * gain <= 1.0:
        return gain, None
    over_db = 20 * math.log10(peak * gain)
    return 1.0 / peak, Notice(
        "CLIPPED", f"Peaks were {over_db:.1f} dB over full scale; the whole track is that softer"
    )


def _ramp(position: NDArray[np.int64], length: int) -> NDArray[np.float32]:
    """Returns the linear fade `linspace(0, 1, length)` at each position, 1 behind its end."""
    return np.minimum(position / max(length - 1, 1), 1.0).astype(np.float32)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
