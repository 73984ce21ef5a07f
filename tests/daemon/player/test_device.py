"""The native sink on a private sound server; without PulseAudio only what needs no device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.clock import limit
from tests.daemon.player.ear import HAS_PULSE, sound_server

OPEN_AT_EXIT = """
from lofi.daemon.player.device import NativeSink
sink = NativeSink(None)
sink.start(lambda block: block.fill(0.0))
print(sink.name, sink.sample_rate)
"""
LOOK = """
import json, threading, time
from dataclasses import asdict
from lofi.daemon.player.device import NativeSink, list_devices
from lofi.errors import AudioDeviceError
listed = [asdict(device) for device in list_devices()]
try:
    NativeSink("nobody")
    refusal = None
except AudioDeviceError as error:
    refusal = error.message
blocks = []
asked = threading.Event()
def fill(block):
    block.fill(0.0)
    blocks.append((time.monotonic(), len(block)))
    if len(blocks) % 10 == 0:
        asked.set()
sink = NativeSink("out")
for _ in range(2):
    asked.clear()
    began = time.monotonic()
    sink.start(fill)
    sink.start(fill)
    asked.wait(10)
    sink.stop()
sink.close()
sink.close()
print(json.dumps({"listed": listed, "refusal": refusal, "frames": [n for _, n in blocks],
                  "name": sink.name, "threads": threading.active_count()}))
"""
NOTHING = """
from lofi.daemon.player.device import NativeSink, list_devices
from lofi.errors import AudioDeviceError
try:
    NativeSink(None)
except AudioDeviceError as error:
    print(error.code, bool(error.hint))
"""


def run(script: str, environment: dict[str, str]) -> str:
    """Runs `script` in a process of its own: a device left open would hang its end."""
    environment = {**environment, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit(30),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_sound_server_or_card_there_is_an_error_with_advice(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PULSE_SERVER": f"unix:{tmp_path / 'none'}",
        "ALSA_CONFIG_PATH": "/dev/null",
    }
    if Path("/dev/snd").exists():
        environment["PATH"] = ""  # a machine with a card: only that looking does no harm is tested
        assert (
            run("from lofi.daemon.player.device import list_devices; list_devices()", environment)
            == ""
        )
    else:
        assert run(NOTHING, environment) == "AUDIO_DEVICE_ERROR True\n"


if HAS_PULSE:

    def test_devices_are_listed_opened_by_id_and_asked_in_short_pieces() -> None:
        with sound_server(rate=44100) as server:
            seen = json.loads(run(LOOK, server.environment))
        device = seen["listed"][0]
        assert (device["id"], device["is_default"], device["sample_rate"]) == ("out", True, 44100)
        assert "nobody" in seen["refusal"] and device["name"] in seen["refusal"]
        assert seen["name"] == device["name"]
        # Each of the two starts fills 60 ms; after that no piece is longer than a third of it.
        long = [frames for frames in seen["frames"] if frames > 882]
        assert len(long) <= 6
        assert sum(seen["frames"][:10]) >= 3 * 882

    def test_a_device_open_at_exit_does_not_hang_the_process() -> None:
        with sound_server() as server:
            assert run(OPEN_AT_EXIT, server.environment).split()[-1] == "48000"
