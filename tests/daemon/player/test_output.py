from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lofi.daemon.player.device import Device
from lofi.daemon.player.mixer import Block
from lofi.daemon.player.output import RETRY_SEC, Output, open_sink
from lofi.daemon.player.recorder import RecordingSink
from lofi.daemon.player.sink import NullSink, Sink
from lofi.errors import AudioDeviceError, LofiError
from tests.daemon.player.sound import HandClock, HandSink


class Studio:
    """An output over devices that the test breaks."""

    def __init__(self, output: str = "auto", device: str | None = None) -> None:
        self.clock = HandClock()
        self.notices: list[LofiError] = []
        self.working = {None: HandSink, "usb": HandSink}
        self.opened: list[tuple[str, str | None]] = []
        self.sinks: list[HandSink] = []
        self.dumb: set[str | None] = set()
        self.filled = 0
        self.output = Output(
            output=output,
            device=device,
            clock=self.clock,
            fill=self._fill,
            notice=self.notices.append,
            opener=self._open,
            lister=lambda: [Device("usb", "usb-1", False, 44100, 2)],
        )

    def _fill(self, block: Block) -> None:
        self.filled += 1
        block.fill(0.5)

    def _open(self, output: str, device: str | None) -> Sink:
        self.opened.append((output, device))
        if device not in self.working:
            raise AudioDeviceError(f"no output {device}")
        sink = HandSink(device or "default")
        sink.is_dumb = device in self.dumb
        self.sinks.append(sink)
        return sink

    async def play(self) -> None:
        await self.output.open()
        await self.output.start()

    async def fall_silent(self) -> bool:
        """Lets 1.1 s pass in which the device asks for nothing."""
        self.clock.now += 0.5
        await self.output.check()
        self.clock.now += 1.1
        return await self.output.check()


def run(scene: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scene())


def test_each_setting_opens_its_sink(tmp_path: Path) -> None:
    assert isinstance(open_sink("null", None), NullSink)
    sink = open_sink(f"file:{tmp_path / 'a.wav'}", None)
    assert isinstance(sink, RecordingSink)
    sink.close()


def test_nothing_is_opened_before_it_is_needed() -> None:
    async def scene() -> None:
        studio = Studio()
        assert studio.output.name is None and not studio.opened
        assert not await studio.output.check()

    run(scene)


def test_a_device_that_keeps_asking_is_left_alone() -> None:
    async def scene() -> None:
        studio = Studio()
        await studio.play()
        for _ in range(20):
            studio.clock.now += 0.9
            studio.sinks[0].pull()
            assert not await studio.output.check()
        assert len(studio.sinks) == 1 and not studio.notices

    run(scene)


def test_a_device_silent_for_a_second_is_opened_again() -> None:
    async def scene() -> None:
        studio = Studio(device="usb")
        await studio.play()
        assert await studio.fall_silent()
        assert studio.opened == [("native", "usb")] * 2
        assert studio.sinks[0].is_closed and studio.output.name == "usb"
        assert not studio.notices and studio.output.is_running

    run(scene)


def test_a_device_that_is_gone_is_replaced_by_the_default_one() -> None:
    async def scene() -> None:
        studio = Studio(device="usb")
        await studio.play()
        del studio.working["usb"]
        assert await studio.fall_silent()
        assert studio.output.name == "default"
        assert [notice.code for notice in studio.notices] == ["AUDIO_DEVICE_ERROR"]

    run(scene)


def test_a_device_that_opens_but_asks_for_nothing_is_no_device() -> None:
    async def scene() -> None:
        studio = Studio(device="usb")
        await studio.play()
        studio.dumb.add("usb")
        assert await studio.fall_silent()
        assert studio.output.name == "default"

    run(scene)


def test_without_any_device_it_plays_to_the_clock_and_says_so_once() -> None:
    async def scene() -> None:
        studio = Studio()
        await studio.play()
        studio.working.clear()
        assert await studio.fall_silent()
        assert (studio.output.name, studio.output.kind) == ("null", "null")
        filled = studio.filled
        while studio.filled == filled:
            await asyncio.sleep(0.01)
        for _ in range(5):
            studio.clock.now += RETRY_SEC
            await studio.output.check()
        assert [notice.code for notice in studio.notices] == ["AUDIO_DEVICE_ERROR"]
        assert "audio.output = null" in studio.notices[0].hint
        await studio.output.close()

    run(scene)


def test_the_clock_gives_way_to_a_device_that_comes_back() -> None:
    async def scene() -> None:
        studio = Studio()
        studio.working.clear()
        await studio.play()
        assert studio.output.kind == "null"
        studio.working[None] = HandSink
        studio.clock.now += RETRY_SEC
        assert await studio.output.check()
        assert studio.output.name == "default" and studio.output.is_running

    run(scene)


def test_native_insists_on_a_device() -> None:
    async def scene() -> None:
        studio = Studio(output="native")
        studio.working.clear()
        with pytest.raises(AudioDeviceError):
            await studio.output.open()
        assert not studio.notices

    run(scene)


def test_a_missing_named_device_means_the_default_one_and_a_notice() -> None:
    async def scene() -> None:
        studio = Studio(device="gone")
        await studio.play()
        assert studio.output.name == "default"
        assert len(studio.notices) == 1

    run(scene)


def test_choosing_a_device_that_is_not_there_changes_nothing() -> None:
    async def scene() -> None:
        studio = Studio()
        with pytest.raises(AudioDeviceError, match="usb"):
            await studio.output.choose(device="hdmi")
        await studio.play()
        with pytest.raises(AudioDeviceError):
            await studio.output.choose(device="hdmi")
        assert studio.output.device is None and studio.output.name == "default"
        assert not studio.sinks[0].is_closed
        await studio.output.choose(device="usb")
        assert studio.sinks[0].is_closed and studio.output.name == "usb"
        assert studio.output.is_running

    run(scene)


def test_a_recording_is_not_begun_anew_when_it_fails() -> None:
    async def scene() -> None:
        studio = Studio(output="file:whatever.wav")
        await studio.play()
        assert await studio.fall_silent()
        assert len(studio.opened) == 1 and studio.output.name == "null"
        await studio.output.close()

    run(scene)


def test_a_sink_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lofi.daemon.player.output.CALL_LIMIT_SEC", 0.05)
    release = threading.Event()

    async def scene() -> None:
        studio = Studio(output="native")
        late: list[HandSink] = []

        def hang(output: str, device: str | None) -> Sink:
            release.wait(10)
            late.append(HandSink())
            return late[0]

        studio.output._opener = hang
        with pytest.raises(AudioDeviceError, match="does not answer"):
            await studio.output.open()
        release.set()
        while not (late and late[0].is_closed):
            await asyncio.sleep(0.01)  # what came too late is closed again

    run(scene)


def test_a_bad_block_is_silence_and_the_device_goes_on() -> None:
    async def scene() -> None:
        studio = Studio()

        def explode(block: Block) -> None:
            raise ZeroDivisionError

        studio.output._fill_next = explode
        await studio.play()
        assert not studio.sinks[0].pull().any()
        assert np.isfinite(studio.sinks[0].heard).all()

    run(scene)
