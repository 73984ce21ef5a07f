from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi.daemon.player.mixer import Block
from lofi.daemon.player.recorder import RecordingSink
from lofi.errors import AudioDeviceError
from tests.clock import until
from tests.daemon.player.sound import align, noise

PLAYER = """
import sys, time
from pathlib import Path
from lofi.daemon.player.recorder import RecordingSink
sink = RecordingSink(Path(sys.argv[1]))
sink.start(lambda block: block.fill(0.25))
time.sleep(60)
"""


def test_the_recording_is_what_was_played_sample_for_sample(tmp_path: Path) -> None:
    sound = noise(9600)
    place = 0

    def fill(block: Block) -> None:
        nonlocal place
        block.fill(0.0)
        part = sound[place : place + len(block)]
        block[: len(part)] = part
        place += len(block)

    sink = RecordingSink(tmp_path / "out.wav")
    sink.start(fill)
    until(lambda: place > len(sound), 5, "all of it")
    sink.close()
    heard, rate = soundfile.read(tmp_path / "out.wav", dtype="float32")
    assert rate == sink.sample_rate
    start = align(heard, sound)
    assert np.array_equal(heard[start : start + len(sound)], sound)
    assert len(heard) == place


def test_the_recording_is_whole_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", PLAYER, str(path)], env=environment)
    try:
        until(lambda: path.exists() and path.stat().st_size > 50_000, 20, "some sound")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    heard, _ = soundfile.read(path, dtype="float32")
    assert len(heard) >= 6000
    assert np.all(heard == 0.25)
    assert path.stat().st_size - 58 - heard.nbytes in range(960 * 8 + 1)


def test_a_file_that_cannot_be_written_is_an_error_with_advice(tmp_path: Path) -> None:
    with pytest.raises(AudioDeviceError, match="cannot record to") as caught:
        RecordingSink(tmp_path / "no" / "folder" / "out.wav")
    assert "audio.output" in caught.value.hint
