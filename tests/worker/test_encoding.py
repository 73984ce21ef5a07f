"""Every format written and read back: length, level, size, privacy, and on a small stack."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import lofi
from lofi.errors import UnsupportedFormat
from lofi.parameters import FORMATS as WIRE_FORMATS
from lofi.worker.encoding import FORMATS, Encoder, format_named, sha256
from tests.clock import limit

LOSSLESS = {"wav": 1 / 32768, "wav32": 0.0, "flac": 1 / 32768}


def music(seconds: float, rate: int = 48000, channels: int = 2) -> NDArray[np.float32]:
    """A few gliding tones: something an encoder has to work for."""
    time_sec = np.arange(round(seconds * rate)) / rate
    waves = [
        0.2 * np.sin(2 * np.pi * (220 * (channel + 1) * time_sec + 3 * np.sin(time_sec)))
        + 0.1 * np.sin(2 * np.pi * 1760 * time_sec) * (time_sec % 0.5 < 0.1)
        for channel in range(channels)
    ]
    return np.stack(waves, axis=1).astype(np.float32)


def write(path: Path, name: str, samples: NDArray[np.float32], rate: int, kbps: int = 192) -> None:
    with Encoder(path, name, rate, samples.shape[1], bitrate_kbps=kbps) as encoder:
        encoder.write(samples)


def test_the_formats_are_those_of_the_wire() -> None:
    assert set(FORMATS) == set(WIRE_FORMATS)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [32000, 44100, 48000])
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_a_file_has_every_frame(tmp_path: Path, name: str, rate: int, channels: int) -> None:
    path = tmp_path / "part"  # the name says nothing of the format
    samples = music(3.3, rate, channels)
    write(path, name, samples, rate)
    got, got_rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert (got.shape, got_rate) == (samples.shape, rate)
    if name in LOSSLESS:
        assert np.abs(got - samples).max() <= LOSSLESS[name]
    else:
        assert np.sqrt(np.square(got - samples).mean()) < 0.02
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kbps", [128, 192, 256, 320])
def test_mp3_keeps_to_its_bit_rate(tmp_path: Path, kbps: int) -> None:
    samples = music(8)
    write(tmp_path / "a.mp3", "mp3", samples, 48000, kbps)
    assert (tmp_path / "a.mp3").stat().st_size * 8 / 8000 == pytest.approx(kbps, rel=0.03)


def test_mp3_is_much_smaller_than_wav(tmp_path: Path) -> None:
    samples = music(10)
    for name in ("wav", "mp3"):
        write(tmp_path / name, name, samples, 48000)
    saved = 1 - (tmp_path / "mp3").stat().st_size / (tmp_path / "wav").stat().st_size
    assert 0.80 < saved < 0.92


def long_write(path: Path, name: str, seconds: int) -> None:
    """Writes and reads in a thread with half a mebibyte of stack, as some systems give."""
    second = music(1)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Encoder(path, name, 48000, 2) as encoder:
                encoder.write(np.tile(second, (seconds, 1)))
            with soundfile.SoundFile(path) as file:
                frames = 0
                while len(block := file.read(48000, dtype="float32")):
                    frames += len(block)
            assert frames == seconds * 48000
        except BaseException as error:
            failures.append(error)

    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert not failures, failures


def test_two_minutes_of_vorbis_in_one_call_on_a_small_stack(tmp_path: Path) -> None:
    long_write(tmp_path / "a.ogg", "ogg", 120)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_ten_minutes_in_every_format_on_a_small_stack(tmp_path: Path, name: str) -> None:
    long_write(tmp_path / "a", name, 600)


@pytest.mark.parametrize("name", ["", "aac", "WAV", "opus"])
def test_an_unknown_format_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(UnsupportedFormat) as caught:
        format_named(name)
    assert "flac" in caught.value.hint


def test_a_rate_the_encoder_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFormat):
        Encoder(tmp_path / "a", "mp3", 96000, 2)
    assert not (tmp_path / "a").exists()


LIMITED = """
import resource, shutil, signal, sys
from pathlib import Path
from types import SimpleNamespace
import numpy as np
from lofi.errors import LofiError
from lofi.worker.encoding import Encoder

if "full" in sys.argv:
    shutil.disk_usage = lambda folder: SimpleNamespace(free=1000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
sound = np.random.default_rng(0).normal(0, 0.1, (48000, 2)).astype(np.float32)
try:
    with Encoder(Path(sys.argv[1]), sys.argv[2], 48000, 2) as encoder:
        for _ in range(60):
            encoder.write(sound)
except LofiError as error:
    assert error.data["path"] == sys.argv[1]
    sys.stdout.write(error.code)
"""


@pytest.mark.parametrize(
    ("name", "disk", "code"),
    [(name, "free", "CACHE_WRITE_ERROR") for name in sorted(FORMATS)]
    + [("wav", "full", "INSUFFICIENT_DISK")],
)
def test_a_file_that_cannot_grow_is_an_error_and_not_a_short_track(
    tmp_path: Path, name: str, disk: str, code: str
) -> None:
    finished = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path / "a"), name, disk],
        env={"PYTHONPATH": str(Path(lofi.__file__).parents[1])},
        capture_output=True,
        timeout=limit(30),
        check=False,
    )
    assert finished.stdout.decode() == code, finished.stderr.decode()


def test_sha256_is_that_of_the_bytes_and_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc" * 2**20)
    calls: list[int] = []
    assert sha256(path, lambda: calls.append(1)) == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(calls) == 3
