"""Carries a track on: new bars in its tempo and key, joined on its bar line.

A source made by this synthesiser says itself where its bars lie (the sidecar beside it); any other
is listened to, and refused when no steady beat can be heard in it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lofi.backends.procedural.randomness import key_of
from lofi.backends.procedural.renderer import Renderer
from lofi.backends.procedural.settings import SAMPLE_RATE, Key, Settings, fold, parse_key, resolve
from lofi.errors import InvalidSource, UnsupportedTask
from lofi.worker.backend import Check

LEAST_STRENGTH = 4.0
"""An estimated beat weaker than this is no beat to join on."""
LEAST_OVERLAP_SEC = 0.25
LEFT_FADE_SEC = 0.6
LOUDEST_GAIN_DB, SOFTEST_GAIN_DB = 6.0, -12.0
OWN_LUFS = -16.0


@dataclass(frozen=True, slots=True)
class Source:
    """What is carried on: its samples [frames, 2] and where its bars lie."""

    samples: NDArray[np.float32]
    settings: Settings
    """Band, key and tempo for the new bars."""
    first_beat_sec: float
    gain: float
    """What brings the new bars to the source's loudness."""

    @property
    def frames(self) -> int:
        """Length in samples."""
        return len(self.samples)

    @property
    def bar_frames(self) -> float:
        """Samples of one bar, not rounded."""
        return self.settings.bar_sec * SAMPLE_RATE

    def last_bar_line(self) -> int:
        """Returns the last bar line that leaves room to fade before the source's end."""
        first = self.first_beat_sec * SAMPLE_RATE
        room = self.frames - LEAST_OVERLAP_SEC * SAMPLE_RATE - first
        return max(0, round(first + max(0, math.floor(room / self.bar_frames)) * self.bar_frames))


def read(recipe: Mapping[str, Any], path: Path | None) -> Source:
    """Returns the source of an `extend` job.

    Raises:
        InvalidSource: there is none, or it cannot be read.
        UnsupportedTask: no beat can be heard in it.
    """
    if path is None:
        raise InvalidSource("extend needs a source", hint="Give source as a track id or a path.")
    samples = _samples(path)
    track = _sidecar(path)
    grid, keyscale, lufs = _known(track) or _heard(samples)
    settings = _settings(recipe, track)
    asked = recipe.get("keyscale")
    key: Key = parse_key(str(asked or keyscale))
    bpm = float(grid["bpm"])
    meter = {2: 2, 3: 3, 4: 4}.get(int(grid["beats_per_bar"]), 4)
    if settings.meter == 6 and meter == 3:
        meter = 6
    # The grid itself, not a fold of it: bar lines must meet.
    settings = replace(settings, bpm=round(bpm), grid_bpm=bpm, key=key, meter=meter, form="body")
    gain_db = min(LOUDEST_GAIN_DB, max(SOFTEST_GAIN_DB, lufs - OWN_LUFS))
    return Source(samples, settings, float(grid["first_beat_sec"]), 10 ** (gain_db / 20))


def _samples(path: Path) -> NDArray[np.float32]:
    """Returns a file as float32 [frames, 2] at 48 kHz."""
    from lofi.listen import sound

    heard = sound.read(path)
    samples = np.ascontiguousarray(heard.samples.T, np.float32)
    if samples.shape[1] == 1:
        samples = np.repeat(samples, 2, axis=1)
    if heard.rate != SAMPLE_RATE:
        import soxr

        samples = soxr.resample(samples, heard.rate, SAMPLE_RATE, quality="VHQ")
    whole: NDArray[np.float32] = np.ascontiguousarray(samples, np.float32)
    return whole


def _sidecar(path: Path) -> dict[str, Any]:
    """Returns what the cache wrote beside a track, or nothing."""
    beside = path.with_suffix(".json")
    try:
        found = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _known(track: Mapping[str, Any]) -> tuple[Mapping[str, Any], str, float] | None:
    grid = track.get("grid")
    if not isinstance(grid, dict) or grid.get("source") != "score":
        return None
    return grid, str(track.get("keyscale") or "C major"), OWN_LUFS


def _heard(samples: NDArray[np.float32]) -> tuple[Mapping[str, Any], str, float]:
    """Returns grid, key and loudness as they are heard."""
    from lofi.listen import loudness, meter, rhythm, tonality
    from lofi.listen.sound import Sound

    sound = Sound(np.ascontiguousarray(samples.T.astype(np.float64)), SAMPLE_RATE)
    found = rhythm.onsets(sound)
    tempo = rhythm.tempo(found)
    if tempo.strength < LEAST_STRENGTH:
        raise UnsupportedTask(
            "no steady beat can be heard in the source, so no bars can be joined to it",
            hint="Extend it with ace_step_15, or give a source that procedural made.",
            param="source",
        )
    bpm = fold(tempo.bpm, 55.0)
    grid = {"bpm": bpm, "first_beat_sec": meter.first_bar_sec(sound, bpm), "beats_per_bar": 4}
    key = tonality.rank(tonality.key_chroma(sound))[0]
    return grid, key.name, loudness.integrated(loudness.block_powers(sound))


def _settings(recipe: Mapping[str, Any], track: Mapping[str, Any]) -> Settings:
    """Returns the band that plays on: the source's own if this synthesiser made it."""
    made = track.get("recipe")
    given = {name: value for name, value in recipe.items() if value is not None}
    base: dict[str, Any] = dict(given)
    if isinstance(made, dict) and made.get("backend") == "procedural":
        base = {**made, **{name: given[name] for name in given if name not in _NOT_THE_BAND}}
    base.update(task="text2music", loopable=False, bpm=None, fade_in_sec=0, fade_out_sec=0)
    settings = resolve(base)
    # The same people, another tune: the players are drawn from the source's seed, notes are not.
    return replace(settings, seed=key_of(int(recipe.get("seed") or 0), "extend") & 0xFFFFFFFF)


_NOT_THE_BAND = {"seed", "task", "duration_sec", "backend", "source", "prompt", "form"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How the result is put together, in frames."""

    left: int
    source: int
    right: int

    @property
    def frames(self) -> int:
        """Length of the result."""
        return self.left + self.source + self.right


def plan(recipe: Mapping[str, Any], source: Source) -> Plan:
    """Returns how much comes before and after the source."""
    left = round(float(recipe.get("extend_left_sec") or 0.0) * SAMPLE_RATE)
    right = round(float(recipe.get("extend_right_sec") or 0.0) * SAMPLE_RATE)
    return Plan(left, source.frames, right)


def pieces(source: Source, wanted: Plan, check: Check) -> Iterator[NDArray[np.float32]]:
    """Yields the result [n, 2]: new bars, the source, new bars; the joins on bar lines."""
    start = 0
    if wanted.left > 0:
        intro, tail = _before(source, wanted.left, check)
        yield intro
        start = min(len(tail), source.frames)
        yield _summed(source.samples[:start], tail[:start])
    join = source.frames
    if wanted.right > 0:
        join = max(start, source.last_bar_line())
    yield source.samples[start:join]
    if wanted.right > 0:
        yield from _after(source, join, wanted.right, check)


def _before(
    source: Source, count: int, check: Check
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns `count` frames that end on the source's first bar line, and what rings on into it."""
    first = source.first_beat_sec * SAMPLE_RATE
    bars = max(1, math.ceil((count + first) / source.bar_frames))
    skip = round(bars * source.bar_frames - first) - count
    ring = round(LEFT_FADE_SEC * SAMPLE_RATE)
    # Two bars more than are heard, so that cadence and last chord lie behind the join.
    frames = round((bars + 2) * source.bar_frames) + 4 * SAMPLE_RATE
    new = np.concatenate(list(_pieces(source, frames, check, key=1)))[skip : skip + count + ring]
    rise = min(count, round(0.02 * SAMPLE_RATE))
    new[:rise] *= _ramp(rise)[:, None]
    new[count:] *= 1 - _ramp(ring)[:, None]
    return new[:count], new[count:]


def _after(source: Source, join: int, count: int, check: Check) -> Iterator[NDArray[np.float32]]:
    """Yields the source's end from `join` on, fading into new bars, and `count` frames more."""
    overlap = source.frames - join
    turn = _ramp(overlap)[:, None] * np.float32(np.pi / 2)
    old, rise = source.samples[join:] * np.cos(turn), np.sin(turn)
    place = 0
    for piece in _pieces(source, overlap + count, check, key=2):
        mixed = min(len(piece), max(0, overlap - place))
        if mixed:
            heard = slice(place, place + mixed)
            yield _summed(old[heard], piece[:mixed] * rise[heard])
        if mixed < len(piece):
            yield piece[mixed:]
        place += len(piece)


def _pieces(source: Source, frames: int, check: Check, key: int) -> Iterator[NDArray[np.float32]]:
    """Yields `frames` frames of new music at the source's loudness."""
    seed = key_of(source.settings.seed, f"side/{key}") & 0xFFFFFFFF
    settings = replace(source.settings, frames=frames, seed=seed)
    for piece in Renderer(settings, check).pieces():
        yield piece * np.float32(source.gain)


def _ramp(count: int) -> NDArray[np.float32]:
    return np.linspace(0.0, 1.0, max(1, count), endpoint=False, dtype=np.float32)[:count]


def _summed(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    total: NDArray[np.float32] = np.clip(a + b, -1.0, 1.0).astype(np.float32)
    return total
