"""An ear at the end of the chain: what a real sound server was given, sample for sample.

A PulseAudio of the test's own, with a null sink whose monitor is recorded. Where PulseAudio is not
installed the recording sink stands in, and the tests' names say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lofi.daemon.player.mixer import Block
from tests.clock import limit, until

HAS_PULSE = all(shutil.which(tool) for tool in ("pulseaudio", "pactl", "parecord"))
KIND = "pulseaudio-monitor" if HAS_PULSE else "recording-sink-tap"


class SoundServer:
    """A private PulseAudio with one output called `out`."""

    def __init__(self, folder: Path, rate: int) -> None:
        self.socket = folder / "native"
        self.environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(folder),
            "HOME": str(folder),
            "PULSE_SERVER": f"unix:{self.socket}",
        }
        argv = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        # As everywhere else the server goes before the rest, where the user may have that.
        argv += ["--disable-shm=yes", "--realtime=no", "--high-priority=yes"]
        argv += ["-L", f"module-native-protocol-unix socket={self.socket} auth-anonymous=1"]
        # Without norewinds the sink wakes up to two seconds late.
        sink = f"sink_name=out rate={rate} format=float32le channels=2 norewinds=1"
        argv += ["-L", f"module-null-sink {sink}"]
        self._log = (folder / "pulse.log").open("wb")
        self.process = subprocess.Popen(
            argv, env=self.environment, stderr=self._log, start_new_session=True
        )
        until(self._answers, 20, "the sound server")

    def _answers(self) -> bool:
        if not self.socket.exists():
            return False
        asked = subprocess.run(
            ["pactl", "info"], env=self.environment, capture_output=True, timeout=limit(10)
        )
        return asked.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._log.close()


@contextmanager
def sound_server(rate: int = 48000) -> Iterator[SoundServer]:
    """Runs a private sound server; its folder is short, as a socket's path must be."""
    folder = Path(tempfile.mkdtemp(prefix="lofi-pa-"))
    server = SoundServer(folder, rate)
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


class Ear:
    """Records what is played; `environment` and `output` are for the player that is heard."""

    environment: Mapping[str, str]
    output: str

    def heard(self) -> Block:
        """Returns all that was played so far, [frames, 2] at 48 kHz."""
        data = np.fromfile(self._path, dtype="<f4", offset=self._offset)
        return data[: len(data) // 2 * 2].reshape(-1, 2)

    _path: Path
    _offset = 0


class TapEar(Ear):
    """The recording sink's file."""

    _offset = 58

    def __init__(self, folder: Path) -> None:
        self._path = folder / "tap.wav"
        self._path.touch()
        self.environment = dict(os.environ)
        self.output = f"file:{self._path}"


class MonitorEar(Ear):
    """The monitor of a sound server's null sink."""

    def __init__(self, folder: Path, server: SoundServer) -> None:
        self._path = folder / "monitor.f32"
        self.environment = server.environment
        self.output = "native"
        argv = ["parecord", "--device=out.monitor", "--raw", "--format=float32le"]
        argv += ["--rate=48000", "--channels=2", "--latency-msec=100", str(self._path)]
        self.process = subprocess.Popen(argv, env=server.environment, start_new_session=True)
        until(lambda: self._path.exists() and self._path.stat().st_size, 20, "the recorder")


@contextmanager
def an_ear(folder: Path) -> Iterator[Ear]:
    """Listens for as long as the context lasts, as well as this machine allows."""
    if not HAS_PULSE:
        yield TapEar(folder)
        return
    with sound_server() as server:
        ear = MonitorEar(folder, server)
        try:
            yield ear
        finally:
            ear.process.terminate()
            ear.process.wait()
