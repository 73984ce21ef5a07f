from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from lofi.daemon.player.mixer import Block
from lofi.daemon.player.sink import PERIOD_SEC, NullSink
from tests.clock import limit, until


def test_the_clock_asks_for_every_period_and_stops_when_told() -> None:
    filled: list[int] = []
    tapped: list[float] = []

    def fill(block: Block) -> None:
        filled.append(len(block))
        block.fill(len(filled))

    sink = NullSink(tap=lambda block: tapped.append(float(block[0, 0])))
    sink.start(fill)
    sink.start(fill)  # twice is once
    until(lambda: len(filled) >= 5, 5, "five periods")
    sink.stop()
    count = len(filled)
    assert set(filled) == {round(PERIOD_SEC * sink.sample_rate)}
    assert tapped == list(range(1, count + 1))
    sink.start(fill)
    until(lambda: len(filled) > count, 5, "another start")
    sink.close()
    sink.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "lofi-clock"]


@pytest.mark.slow
@pytest.mark.alone
def test_the_clock_keeps_time() -> None:
    frames = 0
    held = threading.Event()

    def fill(block: Block) -> None:
        nonlocal frames
        frames += len(block)
        if frames == 4800:
            held.wait(0.3)  # a stall is made up for

    sink = NullSink()
    began = time.monotonic()
    sink.start(fill)
    until(lambda: frames >= 48_000, 5, "a second")
    seconds = time.monotonic() - began
    sink.close()
    assert 0.9 < seconds < limit(1.2)


def test_blocks_are_stereo_float() -> None:
    seen: list[tuple[np.dtype[np.float32], tuple[int, ...]]] = []
    sink = NullSink()
    sink.start(lambda block: seen.append((block.dtype, block.shape)))
    until(lambda: seen, 5, "a block")
    sink.close()
    assert seen[0] == (np.dtype(np.float32), (960, 2))
