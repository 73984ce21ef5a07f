"""What can be measured of a finished sound: level, clipping, silence, tempo, key, bars."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.listen.rhythm import FRAME, Onsets, onsets, tempo
from lofi.listen.sound import Sound
from lofi.listen.tonality import key_chroma, rank
from lofi.worker.backend import Answer, Check, Event, Phase, Step
from lofi.worker.loudness import LoudnessMeter, decibels
from lofi.worker.reading import open_sound

SILENCE_WINDOW_SEC = 0.05
SILENCE_PEAK = 1e-3
FULL_SCALE = 0.999
CLIP_RUN_FRAMES = 3
"""So many samples at full scale in a row were cut off; one or two may just touch it."""
LISTENED_SEC = 240.0
"""Tempo and key are heard in the first minutes; more only costs memory."""
CLEAR_TEMPO = 3.0
"""Strength from which a tempo stands out of its neighbours."""
SURE_TEMPO = 9.0
KEY_CORRELATION = 0.4
TONAL_SPREAD = 0.08
"""Between the largest and the smallest share of a pitch class; noise has 0.05."""
BEATS_PER_BAR = 4
ONSET_EDGE = 0.75
"""A sound that enters the last quarter of an onset window already makes the curve rise."""


def analyze(params: Mapping[str, Any], check: Check) -> Iterator[Event]:
    """Answers the figures of the sound file `path`.

    `duration_sec`, `sample_rate`, `channels`, `peak_db`, `rms_db`, `lufs` (None for silence),
    `clipped`, `silence_ratio`, `bpm_estimate`, `key_estimate`, `grid` (None when unclear).

    Raises:
        InvalidSource: the file cannot be read.
    """
    sound = open_sound(Path(params["path"]))
    yield Phase("decoding", -(-sound.frames // sound.sample_rate))
    level = _Level(sound.sample_rate, sound.channels)
    heard: list[NDArray[np.float32]] = []
    for block in sound.blocks():
        check()
        if level.frames < LISTENED_SEC * sound.sample_rate:
            heard.append(block.mean(axis=1, dtype=np.float32))
        level.feed(block)
        yield Step(level.frames // sound.sample_rate, -(-sound.frames // sound.sample_rate))
    grid, key = None, None
    if level.peak > SILENCE_PEAK:
        taken = Sound(np.concatenate(heard)[None, :].astype(np.float64), sound.sample_rate)
        grid = estimated_grid(onsets(taken), ONSET_EDGE * FRAME / sound.sample_rate)
        check()
        key = estimated_key(taken)
    yield Answer(
        {
            "duration_sec": round(level.frames / sound.sample_rate, 6),
            "sample_rate": sound.sample_rate,
            "channels": sound.channels,
            **level.facts(),
            "bpm_estimate": None if grid is None else grid["bpm"],
            "key_estimate": key,
            "grid": grid,
        }
    )


def estimated_key(sound: Sound) -> str | None:
    """Returns the likeliest key (`A minor`), None when none fits."""
    chroma = key_chroma(sound)
    best = rank(chroma)[0]
    if float(np.ptp(chroma)) < TONAL_SPREAD or best.correlation < KEY_CORRELATION:
        return None
    return best.name


def estimated_grid(found: Onsets, delay_sec: float) -> dict[str, Any] | None:
    """Returns where the bars seem to lie, None when hardly anything beats.

    Args:
        delay_sec: how long before a sound the curve rises: a window sees it coming.
    """
    guess = tempo(found)
    if not math.isfinite(guess.strength) or guess.strength < CLEAR_TEMPO:
        return None
    period = 60 / guess.bpm * found.rate
    # All beats laid over one another: what begins together stands out.
    bins = max(8, round(period))
    phase = np.arange(len(found.curve)) % period / period
    folded = np.bincount((phase * bins).astype(np.int64) % bins, found.curve, bins)
    smooth = np.convolve(np.concatenate([folded[-1:], folded, folded[:1]]), [0.25, 0.5, 0.25])
    beat = int(np.argmax(smooth[2:-2])) / bins * period / found.rate + delay_sec
    beat %= 60 / guess.bpm
    contrast = float(folded.max() / (folded.mean() + 1e-12))
    clear = (guess.strength - CLEAR_TEMPO) / (SURE_TEMPO - CLEAR_TEMPO)
    confidence = min(1.0, max(0.0, clear)) * min(1.0, contrast / 4)
    return {
        "bpm": round(guess.bpm, 2),
        "first_beat_sec": round(beat, 3),
        "beats_per_bar": BEATS_PER_BAR,
        "confidence": round(confidence, 2),
        "source": "estimate",
    }


class _Level:
    """Level, clipping and silence of a sound that comes in blocks."""

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.frames = 0
        self.peak = 0.0
        self._power = 0.0
        self._channels = channels
        self._loudness = LoudnessMeter(sample_rate, channels)
        self._runs = np.zeros(channels, np.int64)
        self._clipped = False
        self._window_frames = max(1, round(SILENCE_WINDOW_SEC * sample_rate))
        self._rest = np.zeros(0, np.float32)
        self._windows = 0
        self._silent = 0

    def feed(self, block: NDArray[np.float32]) -> None:
        size = np.abs(block)
        self.frames += len(block)
        self.peak = max(self.peak, float(size.max(initial=0.0)))
        self._power += float(np.square(block, dtype=np.float64).sum())
        self._loudness.feed(block)
        self._count_runs(size >= FULL_SCALE)
        loudest = np.concatenate([self._rest, size.max(axis=1)])
        whole = len(loudest) // self._window_frames
        cut = whole * self._window_frames
        windows = loudest[:cut].reshape(whole, self._window_frames).max(axis=1)
        self._windows += whole
        self._silent += int((windows < SILENCE_PEAK).sum())
        self._rest = loudest[cut:]

    def facts(self) -> dict[str, Any]:
        rms = math.sqrt(self._power / max(1, self.frames * self._channels))
        return {
            "peak_db": decibels(self.peak),
            "rms_db": decibels(rms),
            "lufs": self._loudness.integrated(),
            "clipped": self._clipped,
            "silence_ratio": round(self._silent / max(1, self._windows), 4),
        }

    def _count_runs(self, full: NDArray[np.bool_]) -> None:
        if self._clipped or not (full.any() or self._runs.any()):
            return
        for channel in range(self._channels):
            # A run that began in the last block goes on in this one.
            hits = np.concatenate([np.ones(self._runs[channel], np.bool_), full[:, channel]])
            windows = np.lib.stride_tricks.sliding_window_view(
                np.pad(hits, (0, CLIP_RUN_FRAMES)), CLIP_RUN_FRAMES
            )
            self._clipped |= bool(windows.all(axis=1).any())
            self._runs[channel] = _trailing(full[:, channel])


def _trailing(hits: NDArray[np.bool_]) -> int:
    """Returns how many of the last entries are true, at most one run's length."""
    ending = hits[-CLIP_RUN_FRAMES:][::-1]
    return int(ending.argmin()) if not ending.all() else len(ending)
