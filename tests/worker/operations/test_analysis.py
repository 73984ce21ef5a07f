"""Figures of sounds that are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lofi.errors import GenerationCancelled, InvalidSource
from lofi.worker.operations import operate
from tests.worker.operations.sounds import answer, tone, write

FIELDS = {
    "duration_sec",
    "sample_rate",
    "channels",
    "peak_db",
    "rms_db",
    "lufs",
    "clipped",
    "silence_ratio",
    "bpm_estimate",
    "key_estimate",
    "grid",
}


def beats(bpm: float, first_sec: float, seconds: float, rate: int = 48000) -> NDArray[np.float32]:
    """A click on each beat over a quiet A minor chord."""
    time_sec = np.arange(round(seconds * rate)) / rate
    wave = sum(0.05 * np.sin(2 * np.pi * hz * time_sec) for hz in (220.0, 261.63, 329.63, 440.0))
    length = rate // 12
    hiss = np.random.default_rng(0).uniform(-1, 1, length)
    click = np.exp(-np.arange(length) / 600) * hiss
    for start in np.arange(first_sec, seconds - 0.1, 60 / bpm):
        at = round(start * rate)
        wave[at : at + length] += 0.6 * click
    return np.repeat(wave[:, None], 2, axis=1).astype(np.float32)


def test_the_figures_of_a_tone(tmp_path: Path) -> None:
    found = answer("analyze", path=str(write(tmp_path / "a.wav", tone(4.0))))
    assert set(found) == FIELDS
    assert (found["duration_sec"], found["sample_rate"], found["channels"]) == (4.0, 48000, 2)
    assert found["peak_db"] == pytest.approx(-6.02, abs=0.05)
    assert found["rms_db"] == pytest.approx(-9.03, abs=0.05)
    assert found["lufs"] == pytest.approx(-6.7, abs=0.3)
    assert (found["clipped"], found["silence_ratio"]) == (False, 0.0)
    json.dumps(found, allow_nan=False)


def test_silence_has_no_figures_but_is_an_answer(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", np.zeros((48000, 2), np.float32))
    found = answer("analyze", path=str(path))
    assert found["silence_ratio"] == 1.0
    for name in ("peak_db", "rms_db", "lufs", "bpm_estimate", "key_estimate", "grid"):
        assert found[name] is None, name
    json.dumps(found, allow_nan=False)


def test_half_silence(tmp_path: Path) -> None:
    samples = np.concatenate([tone(2.0), np.zeros((96000, 2), np.float32)])
    found = answer("analyze", path=str(write(tmp_path / "a.wav", samples)))
    assert found["silence_ratio"] == pytest.approx(0.5, abs=0.02)


def test_a_touch_of_full_scale_is_not_clipping_but_a_run_is(tmp_path: Path) -> None:
    samples = tone(2.0, level=0.5)
    samples[1000:1002] = 1.0
    assert answer("analyze", path=str(write(tmp_path / "a.wav", samples)))["clipped"] is False
    samples[1000:1003] = 1.0
    assert answer("analyze", path=str(write(tmp_path / "b.wav", samples)))["clipped"] is True
    across = tone(2.0, level=0.5)
    across[47999:48002, 1] = -1.0  # the run crosses from one block into the next
    assert answer("analyze", path=str(write(tmp_path / "c.wav", across)))["clipped"] is True


@pytest.mark.parametrize(("bpm", "first"), [(72.0, 0.31), (88.0, 0.25), (120.0, 0.1)])
def test_the_grid_of_clicks(tmp_path: Path, bpm: float, first: float) -> None:
    path = write(tmp_path / "a.wav", beats(bpm, first, 24.0))
    found = answer("analyze", path=str(path))
    assert found["key_estimate"] == "A minor"
    assert found["bpm_estimate"] == pytest.approx(bpm, rel=0.01)
    grid = found["grid"]
    assert (grid["beats_per_bar"], grid["source"]) == (4, "estimate")
    assert 0.5 < grid["confidence"] <= 1.0
    period = 60 / bpm
    off = (grid["first_beat_sec"] - first + period / 2) % period - period / 2
    assert abs(off) < 0.03


def test_noise_has_neither_beat_nor_key(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (20 * 48000, 2)).astype(np.float32)
    found = answer("analyze", path=str(write(tmp_path / "a.wav", samples)))
    assert found["key_estimate"] is None
    assert found["grid"] is None or found["grid"]["confidence"] < 0.4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match=r"nothing\.wav"):
        answer("analyze", path=str(tmp_path / "nothing.wav"))


def test_analysis_can_be_cancelled(tmp_path: Path) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise GenerationCancelled("The job was cancelled")

    path = write(tmp_path / "a.wav", tone(20.0))
    with pytest.raises(GenerationCancelled):
        list(operate("analyze", {"path": str(path)}, check))


@pytest.mark.parametrize("columns", [8, 40, 511])
def test_the_waveform_has_the_peaks_of_each_part(tmp_path: Path, columns: int) -> None:
    samples = np.zeros((columns * 200, 2), np.float32)
    for column in range(columns):
        samples[column * 200 + 100, column % 2] = -(column + 1) / columns
    path = write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    if len(samples) < 4000:
        path = write(tmp_path / "a.wav", np.repeat(samples, 3, axis=0), 8000, subtype="FLOAT")
    peaks = answer("waveform", path=str(path), columns=columns)["peaks"]
    assert peaks == pytest.approx([(c + 1) / columns for c in range(columns)], abs=1e-4)


def test_peaks_stay_between_0_and_1(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", tone(1.0, level=3.0), subtype="FLOAT")
    peaks = answer("waveform", path=str(path))["peaks"]
    assert len(peaks) == 40 and set(peaks) == {1.0}
