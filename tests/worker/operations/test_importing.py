"""Imports of a person's files: what is taken, how it is kept, what is refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from lofi.errors import InvalidSource, MethodNotFound
from lofi.worker.reading import read_sound, to_channels
from tests.worker.operations.sounds import answer, tone, write


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {}),
        ("a.flac", {}),
        ("a.mp3", {}),
        ("a.ogg", {}),
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.wav", {"subtype": "PCM_24"}),
    ],
)
def test_a_known_file_is_copied_as_it_is(
    tmp_path: Path, name: str, options: dict[str, str]
) -> None:
    source = write(tmp_path / name, tone(2.0), **options)
    kept = tmp_path / "kept"
    found = answer("import", path=str(source), file_path=str(kept))
    assert kept.read_bytes() == source.read_bytes()
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    assert found["content_sha256"] == found["audio_sha256"] == digest
    assert found["format"] == name.rpartition(".")[2]
    assert (found["frames"], found["sample_rate"], found["channels"]) == (96000, 48000, 2)
    assert (found["duration_sec"], found["bytes"]) == (2.0, kept.stat().st_size)
    assert found["peak_db"] == pytest.approx(-6.0, abs=0.6)
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "channels", "options"),
    [("a.aiff", 2, {}), ("a.caf", 1, {}), ("a.wav", 6, {}), ("a.flac", 4, {})],
)
def test_anything_else_becomes_a_wav_of_at_most_two_channels(
    tmp_path: Path, name: str, channels: int, options: dict[str, str]
) -> None:
    source = write(tmp_path / name, tone(2.0, channels=channels), **options)
    kept = tmp_path / "kept"
    found = answer("import", path=str(source), file_path=str(kept))
    info = soundfile.info(kept)
    assert (info.format, info.subtype, info.channels) == ("WAV", "PCM_16", min(channels, 2))
    assert (found["format"], found["channels"]) == ("wav", info.channels)
    assert found["audio_sha256"] == hashlib.sha256(kept.read_bytes()).hexdigest()
    assert found["content_sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()


def test_a_file_can_stay_where_it_is(tmp_path: Path) -> None:
    source = write(tmp_path / "a.flac", tone(1.0))
    found = answer("import", path=str(source))
    assert found["audio_sha256"] == found["content_sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.flac"]


@pytest.mark.parametrize("seconds", [0.4, 601.0])
def test_too_short_and_too_long(tmp_path: Path, seconds: float) -> None:
    source = write(tmp_path / "a.wav", tone(seconds, rate=8000, channels=1), 8000)
    with pytest.raises(InvalidSource) as caught:
        answer("import", path=str(source), file_path=str(tmp_path / "kept"))
    assert (caught.value.data["min"], caught.value.data["max"]) == (0.5, 600.0)
    assert not (tmp_path / "kept").exists()


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "a.mp3"
    cases = {"no bytes": b"", "text": b"hello" * 100, "zeros": bytes(5000)}
    for name, content in cases.items():
        bad.write_bytes(content)
        with pytest.raises(InvalidSource):
            answer("import", path=str(bad), file_path=str(tmp_path / name))
        assert not (tmp_path / name).exists()
    with pytest.raises(InvalidSource, match="no file"):
        answer("import", path=str(tmp_path))


def test_a_file_that_breaks_off_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "a.flac", tone(5.0) + np.float32(0.01))
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    with pytest.raises(InvalidSource):
        answer("import", path=str(source), file_path=str(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()


def test_a_sample_that_is_no_number_is_refused(tmp_path: Path) -> None:
    samples = tone(1.0)
    samples[777, 0] = np.nan
    source = write(tmp_path / "a.wav", samples, subtype="FLOAT")
    with pytest.raises(InvalidSource, match="no numbers"):
        answer("import", path=str(source), file_path=str(tmp_path / "kept"))


def test_a_name_that_is_no_utf8(tmp_path: Path) -> None:
    source = write(tmp_path / "a.wav", tone(1.0))
    strange = Path(str(tmp_path) + "/" + b"\xff\xfe.wav".decode("utf-8", "surrogateescape"))
    source.rename(strange)
    assert answer("import", path=str(strange))["frames"] == 48000


def test_hash(tmp_path: Path) -> None:
    path = tmp_path / "adapter.safetensors"
    path.write_bytes(b"weights")
    expected = hashlib.sha256(b"weights").hexdigest()
    assert answer("hash", path=str(path)) == {"sha256": expected, "bytes": 7}
    with pytest.raises(InvalidSource):
        answer("hash", path=str(tmp_path / "none"))


def test_an_unknown_operation() -> None:
    with pytest.raises(MethodNotFound):
        answer("dance")


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (48000, 2), (8000, 6)])
def test_a_model_gets_its_own_rate_and_channels(tmp_path: Path, rate: int, channels: int) -> None:
    source = write(tmp_path / "a.wav", tone(2.0, rate, channels), rate)
    samples = read_sound(source, 48000, 2)
    assert samples.dtype == np.float32 and samples.flags.c_contiguous
    assert samples.shape == (96000, 2)
    middle = samples[20000:76000]
    expected = tone(2.0)[20000:76000]
    assert np.abs(middle - expected).max() < 0.01


def test_mixing_channels() -> None:
    left, right = np.ones((3, 1), np.float32), np.zeros((3, 1), np.float32)
    stereo = np.concatenate([left, right], axis=1)
    assert np.array_equal(to_channels(stereo, 1), np.full((3, 1), 0.5, np.float32))
    assert np.array_equal(to_channels(left, 2), np.ones((3, 2), np.float32))
    assert to_channels(stereo, 2) is stereo
