"""What tests of the player share: a sink that asks when told, tracks, growing spools, an ear."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from lofi.daemon.player.device import Device
from lofi.daemon.player.mixer import Block
from lofi.daemon.player.playback import LiveTrack, PlayableTrack, Player
from lofi.daemon.player.sink import Fill
from tests.clock import limit

RATE = 48000
PERIOD = 960


def noise(frames: int, channels: int = 2, seed: int = 0) -> Block:
    """Returns smooth noise up to ±0.5 [frames, channels] in which no two places are alike."""
    steps = np.random.default_rng(seed).standard_normal((frames, channels))
    smooth = np.convolve(steps[:, 0], np.ones(8) / 8, mode="same")[:, None] + 0.1 * steps
    return (0.5 * smooth / np.abs(smooth).max()).astype(np.float32)


def at_rate(samples: Block, rate: int, to: int = RATE) -> Block:
    """Returns what should be heard of a track: both sides, at the device's rate."""
    stereo = np.repeat(samples, 2, axis=1) if samples.shape[1] == 1 else samples
    return stereo if rate == to else soxr.resample(stereo, rate, to)


class Shop:
    """The tracks there are, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tracks: dict[str, PlayableTrack] = {}
        self.sound: dict[str, Block] = {}

    def make(
        self,
        track_id: str,
        seconds: float = 1.0,
        *,
        rate: int = RATE,
        channels: int = 2,
        lufs: float | None = None,
        true_peak_db: float | None = None,
    ) -> PlayableTrack:
        """Writes a track; `sound` holds what should be heard of it at full volume."""
        samples = noise(round(seconds * rate), channels, seed=len(self.tracks))
        path = self.folder / f"{track_id}.wav"
        soundfile.write(path, samples, rate, subtype="FLOAT")
        self.sound[track_id] = at_rate(samples, rate)
        track = PlayableTrack(
            track_id, path, track_id.title(), "", len(samples) / rate, lufs, true_peak_db
        )
        self.tracks[track_id] = track
        return track

    def find(self, track_id: str) -> PlayableTrack | None:
        return self.tracks.get(track_id)

    def newest(self) -> PlayableTrack | None:
        return next(reversed(self.tracks.values()), None)


class HandClock:
    """A clock that goes when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def timestamp(self) -> str:
        return f"2026-01-31T09:15:{self.now % 60:06.3f}Z"


class WallClock(HandClock):
    def monotonic(self) -> float:
        return time.monotonic()


class HandSink:
    """A sink that asks for frames when the test pulls, and keeps what it got."""

    def __init__(self, name: str = "hand", sample_rate: int = RATE) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self.blocks: list[Block] = []
        self.is_closed = False
        self.is_dumb = False
        self._fill: Fill | None = None

    def start(self, fill: Fill) -> None:
        self._fill = fill
        if not self.is_dumb:
            self.pull(PERIOD)  # a device fills its buffer at once

    def stop(self) -> None:
        self._fill = None

    def close(self) -> None:
        self.is_closed = True
        self._fill = None

    def pull(self, frames: int = PERIOD) -> Block:
        """Asks for one block, as the device's thread would."""
        block = np.full((frames, 2), np.nan, dtype=np.float32)
        if self._fill is None:
            return block[:0]
        self._fill(block)
        self.blocks.append(block)
        return block

    @property
    def heard(self) -> Block:
        return np.concatenate(self.blocks) if self.blocks else np.zeros((0, 2), np.float32)


class Concert:
    """A player on hand-pulled sinks; what it tells is in `told`."""

    def __init__(self, shop: Shop, settings: Mapping[str, Any] | None = None) -> None:
        self.shop = shop
        self.clock = HandClock()
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.listened: list[str] = []
        self.sinks: list[HandSink] = []
        self.sample_rates = [RATE]
        self.player = Player(
            shop,
            lambda method, params: self.told.append((method, params)),
            self.clock,
            {
                "playback.volume": 1.0,
                "playback.loop": "off",
                "audio.output": "native",
                **(settings or {}),
            },
            self.listened.append,
            opener=self._open,
            lister=lambda: [Device("hand", "hand-0", True, RATE, 2)],
        )

    def _open(self, output: str, device: str | None) -> HandSink:
        rate = self.sample_rates[min(len(self.sinks), len(self.sample_rates) - 1)]
        self.sinks.append(HandSink(device or "hand", rate))
        return self.sinks[-1]

    @property
    def sink(self) -> HandSink:
        return self.sinks[-1]

    def methods(self, *kinds: str) -> list[str]:
        """Returns what was told, in order; of `kinds` only, if given."""
        return [method for method, _ in self.told if not kinds or method in kinds]

    def last(self, method: str) -> dict[str, Any]:
        return [params for name, params in self.told if name == method][-1]

    async def pull(self, seconds: float) -> Block:
        """Lets `seconds` be heard, period by period, as fast as they are decoded."""
        first = len(self.sink.blocks)
        for _ in range(round(seconds * self.sink.sample_rate / PERIOD)):
            await asyncio.sleep(0.001)  # the decoder and the player's own task
            self.sink.pull()
        await self.settle()
        return np.concatenate(self.sink.blocks[first:])

    async def settle(self) -> None:
        """Lets the player take in what was heard."""
        for _ in range(5):
            await asyncio.sleep(0.002)

    async def until(self, probe: Callable[[], object], what: str) -> None:
        """Pulls until `probe` is true."""
        end = time.monotonic() + limit(10)
        while not probe():
            assert time.monotonic() < end, f"no {what}; told: {self.methods()}"
            await self.pull(0.02)


def perform(
    shop: Shop,
    scene: Callable[[Concert], Awaitable[None]],
    settings: Mapping[str, Any] | None = None,
) -> Concert:
    """Runs `scene` with a player that lives as in the daemon."""

    async def evening() -> Concert:
        concert = Concert(shop, settings)
        running = asyncio.create_task(concert.player.run())
        try:
            await scene(concert)
        finally:
            running.cancel()
            closing = asyncio.create_task(concert.player.close())
            while not closing.done():
                await asyncio.sleep(0.002)
                for sink in concert.sinks:
                    sink.pull()
            await closing
        return concert

    return asyncio.run(evening())


class Rendering:
    """A track that is being rendered: `write` makes more of it final."""

    def __init__(
        self, shop: Shop, track_id: str, seconds: float, *, gain: float = 1.0, rate: int = RATE
    ) -> None:
        self.samples = noise(round(seconds * rate), seed=77)
        self.rate = rate
        self.frames = 0
        self.path = shop.folder / f"{track_id}.f32"
        self.live = LiveTrack(
            track_id, self.path, rate, 2, len(self.samples), gain, title="Live", prompt="rain"
        )
        self._shop = shop

    def write(self, seconds: float) -> int:
        """Appends to the spool; returns how many frames it holds now."""
        end = min(self.frames + round(seconds * self.rate), len(self.samples))
        with self.path.open("ab") as spool:
            spool.write(self.samples[self.frames : end].tobytes())
        self.frames = end
        return end

    def finish(self, gain: float = 1.0, **facts: Any) -> PlayableTrack:
        """Writes the finished file and returns the track."""
        path = self._shop.folder / f"{self.live.track_id}.wav"
        soundfile.write(path, self.samples * np.float32(gain), self.rate, subtype="FLOAT")
        track = PlayableTrack(
            self.live.track_id,
            path,
            "Live",
            "rain",
            len(self.samples) / self.rate,
            gain=gain,
            **facts,
        )
        self._shop.tracks[track.track_id] = track
        return track


def align(heard: Block, expected: Block) -> int:
    """Returns the frame of `heard` where `expected` begins (its first 64 frames, exactly)."""
    head = expected[:64]
    for start in np.flatnonzero(heard[:, 0] == head[0, 0]):
        if np.array_equal(heard[start : start + 64], head):
            return int(start)
    raise AssertionError("the expected sound was not heard at all")
