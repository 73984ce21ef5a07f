"""How long the player takes from a request to the samples in the device callback.

    python -m benchmarks.player [--native] [--repeats 50] [--busy] [--output FILE]

Plays a tone in this process on the clock sink, or with --native on the system's sound output, and
notes for each block the device asks for when it came and what was in it. --busy keeps every core
busy at a worker's priority. The limits are those of the acceptance numbers.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from lofi.daemon.clock import SystemClock
from lofi.daemon.player.mixer import Block
from lofi.daemon.player.output import open_sink
from lofi.daemon.player.playback import PlayableTrack, Player
from lofi.daemon.player.sink import Fill, Sink

LIMITS_MS = {"play": 100, "volume": 50, "pause": 50, "resume": 50, "seek": 100, "stop": 50}
LEVEL = 0.5
PATIENCE_SEC = 2.0

BURNING = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n  sum(range(100000))"
"""Ends by itself when the benchmark is killed."""


class Witness:
    """A sink that notes the level of the last frame of each block, and when it was asked for."""

    def __init__(self, sink: Sink) -> None:
        self.name = sink.name
        self.sample_rate = sink.sample_rate
        self.blocks: list[tuple[float, float]] = []
        self._sink = sink

    def start(self, fill: Fill) -> None:
        def seen(block: Block) -> None:
            fill(block)
            self.blocks.append((time.monotonic(), float(block[-1, 0])))

        self._sink.start(seen)

    def stop(self) -> None:
        self._sink.stop()

    def close(self) -> None:
        self._sink.close()


class Bench:
    """A player with one track, whose every sample says where in the track it is."""

    def __init__(self, folder: Path, output: str) -> None:
        path = folder / "tone.wav"
        rate, half = 48000, 60 * 48000
        levels = np.repeat(np.float32([LEVEL, LEVEL / 2]), half)  # the second minute is quieter
        soundfile.write(path, np.stack([levels, levels], axis=1), rate, subtype="FLOAT")
        self._track = PlayableTrack("tone", path, "Tone", "", 120.0)
        self.witness: Witness | None = None
        settings = {"audio.output": output, "playback.volume": 1.0}
        self.player = Player(
            self, lambda *_: None, SystemClock(), settings, lambda _: None, opener=self._open
        )

    def find(self, track_id: str) -> PlayableTrack | None:
        return self._track

    def newest(self) -> PlayableTrack | None:
        return self._track

    def _open(self, output: str, device: str | None) -> Witness:
        self.witness = Witness(open_sink(output, device))
        return self.witness

    async def time(self, request: Callable[[], Awaitable[Any]], level: float) -> float:
        """Returns the milliseconds from `request` until a block ends at `level`."""
        seen = 0 if self.witness is None else len(self.witness.blocks)
        began = time.monotonic()
        await request()
        while time.monotonic() < began + PATIENCE_SEC:
            blocks = [] if self.witness is None else self.witness.blocks
            for at, last in blocks[seen:]:
                if abs(last - level) < 1e-4:
                    return (at - began) * 1000
            seen = len(blocks)
            await asyncio.sleep(0.001)
        raise TimeoutError(f"level {level} was never heard")


async def measure(output: str, repeats: int, folder: Path) -> dict[str, list[float]]:
    bench = Bench(folder, output)
    player = bench.player
    running = asyncio.create_task(player.run())
    times: dict[str, list[float]] = {"first play": []}
    times |= {name: [] for name in LIMITS_MS}
    for round_number in range(repeats):
        name = "play" if round_number else "first play"  # opens the device and loads libraries
        times[name].append(await bench.time(lambda: player.play(track_id="tone"), LEVEL))
        await asyncio.sleep(0.05 + 0.02 * (round_number % 7) / 7)  # anywhere within a period
        quieter = bench.time(lambda: player.volume_set(level=0.5), LEVEL / 4)
        times["volume"].append(await quieter)
        await player.volume_set(level=1.0)
        times["pause"].append(await bench.time(player.pause, 0.0))
        times["resume"].append(await bench.time(player.resume, LEVEL))
        jump = bench.time(lambda: player.seek(position_sec=90), LEVEL / 2)
        times["seek"].append(await jump)
        times["stop"].append(await bench.time(player.stop, 0.0))
    running.cancel()
    await player.close()
    return times


async def idle_share(seconds: float, folder: Path) -> dict[str, float]:
    """Returns the share of one core used while playing and while paused for long."""
    bench = Bench(folder, "null")
    player = bench.player
    running = asyncio.create_task(player.run())
    shares = {}
    for name, request in (("playing", player.play), ("paused", player.pause)):
        await request()
        await asyncio.sleep(4.0)  # buffers fill; an idle output stops after three seconds
        before, began = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        shares[name] = 100 * (time.process_time() - before) / (time.monotonic() - began)
    running.cancel()
    await player.close()
    return shares


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    burners = []
    if options.busy:
        command = ["nice", "-n", "10", sys.executable, "-c", BURNING]
        count = os.cpu_count() or 1
        burners = [subprocess.Popen(command, start_new_session=True) for _ in range(count)]
    output = "native" if options.native else "null"
    try:
        with tempfile.TemporaryDirectory() as folder:
            times = asyncio.run(measure(output, options.repeats, Path(folder)))
            shares = {} if options.busy else asyncio.run(idle_share(5.0, Path(folder)))
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()
    print(f"{'request':12} {'median':>8} {'worst':>8} {'limit':>8}   ms, output {output}")
    for name, values in times.items():
        limit = LIMITS_MS.get(name, 100)
        print(f"{name:12} {statistics.median(values):8.1f} {max(values):8.1f} {limit:8}")
    for name, share in shares.items():
        print(f"{name:12} {share:8.2f} % of a core")
    if options.output is not None:
        result = {
            "machine": platform.platform(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "output": output,
            "busy": options.busy,
            "repeats": options.repeats,
            "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "cpu_percent": {name: round(share, 2) for name, share in shares.items()},
            "ms": {
                name: {
                    "median": round(statistics.median(values), 1),
                    "worst": round(max(values), 1),
                }
                for name, values in times.items()
            },
        }
        options.output.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
