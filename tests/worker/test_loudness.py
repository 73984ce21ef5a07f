"""The meters against the signals that EBU Tech 3341 prescribes, and against themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from lofi.worker.loudness import LoudnessMeter, TruePeakMeter, decibels


def tone(
    level_db: float, seconds: float, rate: int = 48000, hertz: float = 1000.0
) -> NDArray[np.float32]:
    time_sec = np.arange(round(seconds * rate)) / rate
    wave = 10 ** (level_db / 20) * np.sin(2 * math.pi * hertz * time_sec)
    return np.repeat(wave[:, None], 2, axis=1).astype(np.float32)


def loudness(samples: NDArray[np.float32], rate: int = 48000, block: int = 48000) -> float | None:
    meter = LoudnessMeter(rate, samples.shape[1])
    for start in range(0, len(samples), block):
        meter.feed(samples[start : start + block])
    return meter.integrated()


@pytest.mark.parametrize("rate", [32000, 44100, 48000, 96000])
@pytest.mark.parametrize("level", [-23.0, -33.0])
def test_a_steady_tone_reads_its_level(rate: int, level: float) -> None:
    assert loudness(tone(level, 5, rate), rate) == pytest.approx(level, abs=0.1)


@pytest.mark.parametrize(
    "parts",
    [
        [(-36, 10), (-23, 60), (-36, 10)],
        [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)],
        [(-26, 20), (-20, 20.1), (-26, 20)],
    ],
    ids=["relative gate", "absolute gate", "mean"],
)
def test_gates_as_prescribed(parts: list[tuple[float, float]]) -> None:
    samples = np.concatenate([tone(level, seconds) for level, seconds in parts])
    assert loudness(samples) == pytest.approx(-23.0, abs=0.1)


def test_low_notes_count_less_and_high_ones_more() -> None:
    middle = loudness(tone(-20, 3))
    low, high = loudness(tone(-20, 3, hertz=40)), loudness(tone(-20, 3, hertz=5000))
    assert middle and low and high
    assert low == pytest.approx(middle - 5.9, abs=1.0)
    assert high == pytest.approx(middle + 3.3, abs=0.3)


@pytest.mark.parametrize("block", [1, 777, 65536])
def test_the_block_size_changes_nothing(block: int) -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (30000, 2)).astype(np.float32)
    whole = loudness(samples, block=len(samples))
    assert whole is not None
    assert loudness(samples, block=block) == pytest.approx(whole, abs=1e-4)


def test_silence_and_shreds_have_no_loudness() -> None:
    assert loudness(np.zeros((96000, 2), np.float32)) is None
    assert loudness(tone(-20, 0.3)) is None
    assert decibels(0.0) is None


@pytest.mark.parametrize(("hertz", "degrees"), [(12000, 45), (8000, 60), (5000, 10), (997, 0)])
def test_true_peak_sees_between_the_samples(hertz: float, degrees: float) -> None:
    time_sec = np.arange(48000) / 48000
    wave = 0.5 * np.sin(2 * math.pi * hertz * time_sec + math.radians(degrees))
    # Soft edges: a switched sine rings higher than its amplitude, which is true but not meant.
    wave *= np.minimum(1.0, np.minimum(np.arange(48000), np.arange(48000)[::-1]) / 4800)
    meter = TruePeakMeter(1)
    for start in range(0, 48000, 5000):
        meter.feed(wave[start : start + 5000, None].astype(np.float32))
    level = decibels(meter.finish())
    assert level is not None
    assert -0.4 < level - 20 * math.log10(0.5) < 0.2


def test_true_peak_is_never_under_the_sample_peak() -> None:
    samples = np.zeros((1000, 2), np.float32)
    samples[999, 1] = -0.75
    meter = TruePeakMeter(2)
    meter.feed(samples)
    assert meter.finish() >= 0.75
