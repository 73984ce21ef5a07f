"""Mastering, as properties of what is in the file afterwards."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lofi.errors import GenerationCancelled, ModelInferenceFailed
from lofi.worker.audio import (
    TARGET_PEAK,
    Finished,
    Mastering,
    check_sound,
    check_stretch,
    finish,
)
from lofi.worker.backend import Notice, Sound, Step
from lofi.worker.spool import Spool

RATE = 8000


def never() -> None:
    pass


def spooled(folder: Path, samples: NDArray[np.float32]) -> Spool:
    spool = Spool(folder / "a.f32", samples.shape[1])
    for start in range(0, len(samples), 999):
        spool.append(samples[start : start + 999])
    return spool


def mastered(
    folder: Path,
    samples: NDArray[np.float32],
    mastering: Mastering,
    *,
    sound: Sound | None = None,
    rate: int = RATE,
) -> tuple[NDArray[np.float32], Mapping[str, Any], list[Notice]]:
    """Returns the file's samples (float WAV), its facts and the warnings."""
    told = sound or Sound(rate, samples.shape[1], len(samples))
    spool = spooled(folder, samples)
    events = list(
        finish(
            spool,
            told,
            mastering,
            folder / "a.wav",
            format_name="wav32",
            bitrate_kbps=192,
            check=never,
        )
    )
    spool.close()
    last = events.pop()
    assert isinstance(last, Finished)
    steps = [event for event in events if isinstance(event, Step)]
    assert steps[-1].done == steps[-1].total == len(steps)
    got, _ = soundfile.read(folder / "a.wav", dtype="float32", always_2d=True)
    return got, last.values, [event for event in events if isinstance(event, Notice)]


def noise(frames: int, level: float = 0.3, channels: int = 2, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).uniform(-level, level, (frames, channels))
    return values.astype(np.float32)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    frames=st.integers(RATE // 2, 4 * RATE),
    level=st.floats(1e-3, 40.0),
    channels=st.integers(1, 2),
    fade_in=st.floats(0, 3),
    fade_out=st.floats(0, 3),
    loopable=st.booleans(),
    normalize=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_any_mastering_keeps_its_promises(
    tmp_path: Path,
    frames: int,
    level: float,
    channels: int,
    fade_in: float,
    fade_out: float,
    loopable: bool,
    normalize: bool,
    seed: int,
) -> None:
    samples = noise(frames, level, channels, seed)
    wanted = Mastering(normalize, fade_in, fade_out, loopable)
    got, facts, notices = mastered(tmp_path, samples, wanted)
    overlap = min(2 * RATE, frames // 10) if loopable else 0
    assert got.shape == (frames - overlap, channels)
    assert np.isfinite(got).all()
    peak = float(np.abs(got).max())
    assert peak <= 1.0
    assert facts["peak_db"] == pytest.approx(20 * math.log10(peak), abs=0.02)
    assert facts["true_peak_db"] >= facts["peak_db"] - 0.02
    if normalize:
        assert peak == pytest.approx(TARGET_PEAK, rel=1e-5)
        assert not notices
    else:
        assert bool(notices) == (facts["gain"] != 1.0)
    # Outside fades and overlap the file is the spool times the one gain that is reported.
    first = max(round(fade_in * RATE), overlap)
    last = len(got) - round(fade_out * RATE)
    if first < last:
        expected = samples[first:last] * np.float32(facts["gain"])
        assert np.allclose(got[first:last], expected, rtol=1e-6, atol=1e-7)
    if fade_in >= 0.01:
        assert not got[0].any()
    if fade_out >= 0.01:
        assert not got[-1].any()


def test_fades_are_straight_lines(tmp_path: Path) -> None:
    samples = np.full((RATE, 1), 0.5, np.float32)
    got, _, _ = mastered(tmp_path, samples, Mastering(fade_in_sec=0.25, fade_out_sec=0.5))
    count_in, count_out = RATE // 4, RATE // 2
    assert np.allclose(got[:count_in, 0], 0.5 * np.linspace(0, 1, count_in), atol=1e-6)
    assert np.allclose(got[-count_out:, 0], 0.5 * np.linspace(1, 0, count_out), atol=1e-6)


def test_a_loop_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Played round and round, a steady tone of whole periods has no seam."""
    time_sec = np.arange(10 * RATE) / RATE
    tone = (0.4 * np.sin(2 * np.pi * 100 * time_sec))[:, None].astype(np.float32)
    got, facts, _ = mastered(tmp_path, tone, Mastering(loopable=True))
    assert facts["loop"] is True and len(got) == 9 * RATE
    round_and_round = np.concatenate([got, got])[:, 0]
    steepest = 0.4 * 2 * np.pi * 100 / RATE
    # Equal-power fades of two equal tones rise to 3 dB more in the middle.
    assert np.abs(np.diff(round_and_round)).max() < steepest * 1.5


def test_a_loop_of_noise_keeps_its_power(tmp_path: Path) -> None:
    samples = noise(20 * RATE, seed=5)
    got, _, _ = mastered(tmp_path, samples, Mastering(loopable=True))
    overlap = 2 * RATE
    inside = np.sqrt(np.square(got[:overlap]).mean())
    outside = np.sqrt(np.square(got[overlap:]).mean())
    assert inside == pytest.approx(outside, rel=0.05)


@pytest.mark.parametrize("wish", [True, False])
def test_what_is_over_full_scale_is_turned_down_and_never_cut(tmp_path: Path, wish: bool) -> None:
    samples = noise(RATE, 3.0)
    got, facts, notices = mastered(tmp_path, samples, Mastering(normalize=wish))
    assert np.allclose(got, samples * np.float32(facts["gain"]), atol=1e-6), "no run is clipped"
    assert [notice.code for notice in notices] == ([] if wish else ["CLIPPED"])


def test_a_backend_that_masters_is_only_written(tmp_path: Path) -> None:
    samples = noise(RATE, 0.2)
    sound = Sound(RATE, 2, RATE, streams=True, gain=0.5, mastered=True)
    recipe = {"normalize": "peak", "fade_in_sec": 1, "fade_out_sec": 1, "loopable": True}
    mastering = Mastering.of(recipe, sound)
    assert mastering == Mastering()
    got, facts, _ = mastered(tmp_path, samples, mastering, sound=sound)
    assert facts["gain"] == 0.5
    assert np.array_equal(got, samples * np.float32(0.5))


def test_the_recipe_says_what_is_done() -> None:
    sound = Sound(RATE, 2, RATE)
    assert Mastering.of({}, sound) == Mastering()
    recipe = {"normalize": "peak", "fade_in_sec": 0, "fade_out_sec": 2, "loopable": False}
    assert Mastering.of(recipe, sound) == Mastering(True, 0.0, 2.0, False)
    assert Mastering.of({**recipe, "normalize": "none"}, sound).normalize is False


def test_a_note_on_loudness_is_what_a_meter_says(tmp_path: Path) -> None:
    time_sec = np.arange(5 * 48000) / 48000
    tone = np.repeat(np.sin(2 * np.pi * 1000 * time_sec)[:, None], 2, 1).astype(np.float32) * 0.1
    _, facts, _ = mastered(tmp_path, tone, Mastering(normalize=True), rate=48000)
    assert facts["lufs"] == pytest.approx(-1.0, abs=0.1)
    assert facts["true_peak_db"] == pytest.approx(-1.0, abs=0.1)


def test_samples_that_are_no_numbers_are_refused() -> None:
    sound = Sound(RATE, 2, 4)
    for bad in (math.nan, math.inf, -math.inf):
        samples = np.zeros((4, 2), np.float32)
        samples[3, 1] = bad
        with pytest.raises(ModelInferenceFailed, match="no numbers"):
            check_stretch(samples, sound)


@pytest.mark.parametrize("frames", [RATE - 2, RATE + 2, 0])
def test_a_wrong_length_is_refused(tmp_path: Path, frames: int) -> None:
    spool = spooled(tmp_path, noise(frames))
    with pytest.raises(ModelInferenceFailed, match=f"{frames} frames instead of {RATE}"):
        check_sound(spool, Sound(RATE, 2, RATE))
    spool.close()


def test_silence_is_refused_but_quiet_is_not(tmp_path: Path) -> None:
    sound = Sound(RATE, 1, RATE)
    quiet = spooled(tmp_path, np.full((RATE, 1), 1.1e-4, np.float32))
    check_sound(quiet, sound)
    silent = spooled(tmp_path, np.full((RATE, 1), 0.9e-4, np.float32))
    with pytest.raises(ModelInferenceFailed, match="silence"):
        check_sound(silent, sound)
    quiet.close()
    silent.close()


def test_a_cancelled_writing_stops_at_the_next_block(tmp_path: Path) -> None:
    spool = spooled(tmp_path, noise(20 * RATE))
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise GenerationCancelled("The job was cancelled")

    with pytest.raises(GenerationCancelled):
        list(
            finish(
                spool,
                Sound(RATE, 2, 20 * RATE),
                Mastering(),
                tmp_path / "a.ogg",
                format_name="ogg",
                bitrate_kbps=192,
                check=check,
            )
        )
    spool.close()


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    def peak_bytes(seconds: int) -> int:
        spool = Spool(tmp_path / "a.f32", 2)
        for _ in range(seconds):
            spool.append(noise(48000))
        tracemalloc.start()
        list(
            finish(
                spool,
                Sound(48000, 2, seconds * 48000),
                Mastering(True, 1.0, 1.0, True),
                tmp_path / "a.flac",
                format_name="flac",
                bitrate_kbps=192,
                check=never,
            )
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        spool.close()
        return peak

    short, long = peak_bytes(5), peak_bytes(60)
    assert long < short * 1.2
    assert long < 32 * 2**20
