"""The spool: what was appended is there at once, for this process and for another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lofi.worker.spool import Spool


def numbers(frames: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(frames).uniform(-1, 1, (frames, channels)).astype(np.float32)


def test_another_reader_sees_every_appended_frame_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.f32", 2)
    whole = numbers(5000)
    for start in range(0, 5000, 700):
        spool.append(whole[start : start + 700])
        seen = np.fromfile(tmp_path / "a.f32", "<f4").reshape(-1, 2)
        assert np.array_equal(seen, whole[: start + 700])
    assert spool.frames == 5000
    assert spool.peak == np.abs(whole).max()
    assert (tmp_path / "a.f32").stat().st_mode & 0o777 == 0o600
    spool.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, 1200), count=st.integers(0, 1200), channels=st.integers(1, 2))
def test_reading_any_part_gives_zeros_past_the_end(
    tmp_path: Path, start: int, count: int, channels: int
) -> None:
    spool = Spool(tmp_path / "a.f32", channels)
    whole = numbers(1000, channels)
    spool.append(whole)
    expected = np.zeros((count, channels), np.float32)
    part = whole[start : start + count]
    expected[: len(part)] = part
    assert np.array_equal(spool.read(start, start + count), expected)
    spool.close()


def test_layouts_of_any_kind_are_taken(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.f32", 2)
    whole = numbers(100)
    spool.append(np.asfortranarray(whole))
    spool.append(whole[::-1])
    spool.append(whole[:0])
    assert np.array_equal(spool.read(0, 200), np.concatenate([whole, whole[::-1]]))
    spool.close()


def test_a_spool_that_someone_cut_is_an_error_and_not_silence(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "a.f32", 2)
    spool.append(numbers(1000))
    with (tmp_path / "a.f32").open("r+b") as file:
        file.truncate(800)
    with pytest.raises(OSError, match="shorter"):
        spool.read(0, 1000)
    spool.close()
