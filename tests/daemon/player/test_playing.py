"""What is really played: a player in a process of its own, heard at the end of the chain.

These tests listen to the clock and run alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from lofi.daemon.player.mixer import Block
from tests.clock import limit, until
from tests.daemon.player.ear import HAS_PULSE, KIND, Ear, an_ear, sound_server
from tests.daemon.player.sound import RATE, Shop, align

pytestmark = [pytest.mark.slow, pytest.mark.alone]

PLAYER = """
import asyncio, json, sys
from pathlib import Path
from tests.daemon.player.sound import WallClock
from lofi.daemon.player.playback import PlayableTrack, Player

def say(kind, params):
    print(json.dumps([kind, params]), flush=True)

class Shelf:
    def __init__(self, folder):
        self.folder = folder
    def find(self, track_id):
        facts = json.loads((self.folder / (track_id + ".json")).read_text())
        return PlayableTrack(track_id, self.folder / (track_id + ".wav"), track_id, "", **facts)
    def newest(self):
        return None

async def main():
    settings = {"playback.volume": 1.0, "playback.loop": "off", "audio.output": sys.argv[2]}
    player = Player(Shelf(Path(sys.argv[1])), say, WallClock(), settings, lambda track: None)
    running = asyncio.create_task(player.run())
    loop = asyncio.get_running_loop()
    say("ready", {})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        method, params = json.loads(line)
        say("answer", await getattr(player, method)(**params))
    await player.close()
    running.cancel()

asyncio.run(main())
"""


class Process:
    """The player, spoken to in lines."""

    def __init__(self, shop: Shop, ear: Ear) -> None:
        for track in shop.tracks.values():
            facts = {"duration_sec": track.duration_sec}
            (shop.folder / f"{track.track_id}.json").write_text(json.dumps(facts))
        self.process = subprocess.Popen(
            [sys.executable, "-c", PLAYER, str(shop.folder), ear.output],
            env={**ear.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # as the daemon has one
        )
        assert self.process.stdin is not None and self.process.stdout is not None
        self._in: IO[str] = self.process.stdin
        self._out: IO[str] = self.process.stdout
        self.told: list[list[object]] = []
        self.wait("ready")

    def wait(self, kind: str) -> dict[str, object]:
        """Reads until a message of `kind`."""
        while line := self._out.readline():
            message = json.loads(line)
            self.told.append(message)
            if message[0] == kind:
                return message[1]  # type: ignore[no-any-return]
        raise AssertionError(f"the player ended; it had said {self.told}")

    def ask(self, method: str, **params: object) -> dict[str, object]:
        self._in.write(json.dumps([method, params]) + "\n")
        self._in.flush()
        return self.wait("answer")

    def close(self) -> None:
        self._in.close()
        try:
            assert self.process.wait(limit(5)) == 0
        finally:
            self.process.kill()
            self.process.wait()
            self._out.close()


@contextmanager
def playing(shop: Shop, ear: Ear) -> Iterator[Process]:
    process = Process(shop, ear)
    try:
        yield process
    finally:
        process.close()


BURNING = "import os\nparent = os.getppid()\nwhile os.getppid() == parent:\n  sum(range(100000))"
"""Ends by itself when the test that started it was killed."""


@contextmanager
def saturated() -> Iterator[None]:
    """Keeps every core busy as rendering does: a session and a low priority of its own."""
    burners = [
        subprocess.Popen(
            ["nice", "-n", "10", sys.executable, "-c", BURNING], start_new_session=True
        )
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def assert_unbroken(heard: Block, expected: Block) -> None:
    start = align(heard, expected)
    part = heard[start : start + len(expected)]
    wrong = np.flatnonzero(np.abs(part - expected[: len(part)]).max(axis=1) > 1e-6)
    assert len(part) == len(expected), f"{len(expected) - len(part)} frames are missing"
    assert not len(wrong), f"{len(wrong)} frames differ, the first at {wrong[0] / RATE:.3f} s"


@pytest.mark.parametrize("ear_kind", [KIND])
def test_three_tracks_are_heard_sample_for_sample(tmp_path: Path, ear_kind: str) -> None:
    shop = Shop(tmp_path)
    for name, rate, channels in (("a", 48000, 2), ("b", 44100, 1), ("c", 32000, 2)):
        shop.make(name, 1.0, rate=rate, channels=channels)
    with an_ear(tmp_path) as ear, playing(shop, ear) as player:
        for name in "abc":
            player.ask("play", track_id=name, enqueue="end")
        while player.wait("playback_state")["state"] != "stopped":
            pass
        expected = np.concatenate([shop.sound[name] for name in "abc"])
        until(lambda: not ear.heard()[-4800:].any(), 5, "the end of the recording")
        assert_unbroken(ear.heard(), expected)


@pytest.mark.parametrize("ear_kind", [KIND])
@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(20, id="20s"),
        pytest.param(600, id="600s", marks=[pytest.mark.soak, pytest.mark.timeout(1200)]),
    ],
)
def test_no_sample_is_lost_or_repeated_with_every_core_busy(
    tmp_path: Path, seconds: int, ear_kind: str
) -> None:
    shop = Shop(tmp_path)
    shop.make("a", seconds / 2)
    shop.make("b", seconds / 2)
    with an_ear(tmp_path) as ear, playing(shop, ear) as player, saturated():
        player.ask("play", track_id="a")
        player.ask("play", track_id="b", enqueue="end")
        while player.wait("playback_state")["state"] != "stopped":
            pass
        until(lambda: not ear.heard()[-4800:].any(), 5, "the end of the recording")
        assert_unbroken(ear.heard(), np.concatenate([shop.sound["a"], shop.sound["b"]]))


@pytest.mark.parametrize("ear_kind", [KIND])
def test_stop_and_volume_reach_the_ear(tmp_path: Path, ear_kind: str) -> None:
    shop = Shop(tmp_path)
    shop.make("a", 20.0)
    with an_ear(tmp_path) as ear, playing(shop, ear) as player:
        began = time.monotonic()
        player.ask("play", track_id="a")
        until(lambda: ear.heard()[-4800:].any(), 5, "sound")
        assert time.monotonic() - began < limit(1.0)
        player.ask("volume_set", level=0.0)
        until(lambda: not ear.heard()[-4800:].any(), 5, "silence")
        player.ask("volume_set", level=1.0)
        until(lambda: ear.heard()[-4800:].any(), 5, "sound again")
        player.ask("stop")
        until(lambda: not ear.heard()[-4800:].any(), 5, "silence")
        steps = np.abs(np.diff(ear.heard()[:, 0]))
        assert steps.max() < 0.5


if HAS_PULSE:

    def test_when_the_sound_server_dies_the_music_goes_on_in_silence(tmp_path: Path) -> None:
        shop = Shop(tmp_path)
        shop.make("a", 30.0)

        class Nobody(Ear):
            output = "auto"

        with sound_server() as server:
            Nobody.environment = server.environment
            with playing(shop, Nobody()) as player:
                player.ask("play", track_id="a")
                player.wait("playback_started")
                server.process.kill()
                error = player.wait("playback_error")
                assert error["code"] == "AUDIO_DEVICE_ERROR" and error["hint"]
                state = player.wait("playback_state")
                assert (state["state"], state["device"]) == ("playing", "null")
                there = float(str(state["position_sec"]))

                def moved() -> bool:
                    return float(str(player.ask("resume")["position_sec"])) > there + 0.5

                until(moved, 5, "the music to go on")
                assert len([one for one in player.told if one[0] == "playback_error"]) == 1
